import assert from "node:assert/strict";
import { test } from "node:test";
import { type StreamInfo, type StreamNeeds, streamRisks } from "../../../src/nats/streams.ts";

const NEEDS: StreamNeeds = { timeoutMs: 10_000 };
const MINUTE_NS = 60e9;

/** The settings that docs/jetstream.md recommends. */
const SAFE = {
  name: "EVENTS",
  retention: "limits",
  storage: "file",
  discard: "new",
  max_msgs: -1,
  max_bytes: 100e9,
  max_age: 7 * 24 * 60 * MINUTE_NS,
  max_msgs_per_subject: -1,
  max_msg_size: -1,
  num_replicas: 3,
  no_ack: false,
  duplicate_window: 60 * MINUTE_NS,
  sealed: false,
} as const;

/** The risks of the safe stream with some settings changed. */
function risks(
  config: Partial<StreamInfo["config"]>,
  {
    consumers = 1,
    cluster = "C",
    ...needs
  }: { consumers?: number; cluster?: string } & Partial<StreamNeeds> = {},
): string[] {
  const info = {
    config: { ...SAFE, ...config },
    state: { consumer_count: consumers },
    cluster: { name: cluster },
  };
  return streamRisks(info, { ...NEEDS, ...needs });
}

test("the stream of docs/jetstream.md has no risk, with and without consumers", () => {
  assert.deepEqual(risks({}), []);
  assert.deepEqual(risks({}, { consumers: 0 }), []);
});

for (const [config, about, pattern] of [
  [{ no_ack: true }, {}, /no_ack=true: it never acknowledges/],
  [{ mirror: { name: "OTHER" } }, {}, /mirror: .*accepts no events/],
  [{ sealed: true }, {}, /sealed=true: it accepts no more events/],
  [{ storage: "memory" }, {}, /storage=memory: acknowledged events are lost/],
  [{ persist_mode: "async" }, {}, /persist_mode=async: events are acknowledged before they are written/],
  [
    { retention: "interest" },
    { consumers: 0 },
    /interest without a consumer: every event is acknowledged and dropped/,
  ],
  [{ retention: "interest" }, { consumers: 2 }, /interest: .*match no consumer's filter/],
  [{ retention: "workqueue" }, { consumers: 0 }, /workqueue without a consumer: nobody reads/],
  [
    { discard: "old" },
    {},
    /discard=old with max_bytes=100000000000: .*oldest events are dropped, read or not/,
  ],
  [{ discard: "old", max_msgs: 5 }, {}, /discard=old with max_msgs=5:/],
  [{ discard: "old", max_bytes: -1 }, {}, /discard=old: once max_msgs or max_bytes is set/],
  [{ max_msgs_per_subject: 1 }, {}, /max_msgs_per_subject=1: of each subject only the newest/],
  [{ max_msgs_per_subject: 9, discard_new_per_subject: true, discard: "old" }, {}, /max_msgs_per_subject=9/],
  [{ max_age: 90 * MINUTE_NS }, {}, /max_age=90m: a consumer that is away for longer/],
  [{ max_msg_size: 1_000 }, {}, /max_msg_size=1000: larger events become dead letters/],
  [{ max_msg_size: 200_000 }, { maxMessageBytes: 512_000 }, /max_msg_size=200000: .*above 512000/],
  [{ duplicate_window: MINUTE_NS }, {}, /duplicate_window=1m: .*stored twice.*up to 75s/],
  [{ duplicate_window: 2 * MINUTE_NS }, { timeoutMs: 60_000 }, /duplicate_window=2m: .*up to 125s/],
  [{ num_replicas: 1 }, {}, /num_replicas=1 in a cluster: .*lost with the one server/],
] as ReadonlyArray<[Partial<StreamInfo["config"]>, Parameters<typeof risks>[1], RegExp]>)
  test(`${JSON.stringify({ ...config, ...about })} is the only risk that is reported`, () => {
    const found = risks(config, about).filter(
      (risk) => config.discard === "old" || !risk.includes("discard=old"),
    );
    const [first = ""] = found.filter((risk) => pattern.test(risk));
    assert.match(first, pattern);
    assert.match(first, /^stream EVENTS: /);
    if (Object.keys(config).length === 1) assert.equal(found.length, 1, found.join("\n"));
  });

for (const [config, about] of [
  [{ max_msgs_per_subject: 9, discard_new_per_subject: true }, {}],
  [{ retention: "workqueue" }, { consumers: 1 }],
  [{ max_age: 0 }, {}],
  [{ max_age: 24 * 60 * MINUTE_NS }, {}],
  [{ max_msg_size: 102_400 }, {}],
  [{ duplicate_window: 2 * MINUTE_NS }, {}],
  [{ num_replicas: 1 }, { cluster: "" }],
] as ReadonlyArray<[Partial<StreamInfo["config"]>, Parameters<typeof risks>[1]]>)
  test(`${JSON.stringify({ ...config, ...about })} is no risk`, () => {
    assert.deepEqual(risks(config, about), []);
  });

test("missing settings count as NATS' defaults", () => {
  const found = streamRisks({ config: { name: "OLD" } }, NEEDS);
  assert.deepEqual(
    found.map((risk) => /^stream OLD: (\w+)=/.exec(risk)?.[1]),
    ["discard", "duplicate_window"],
  );
});
