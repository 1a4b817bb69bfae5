import assert from "node:assert/strict";
import { test } from "node:test";
import { resetSync } from "@logtape/logtape";
import type { DeliveredEvents, NewDeadLetter } from "../../../src/publisher/hooks.ts";
import { responses } from "../../../src/testing/mod.ts";
import { captureLog } from "../../support/captured_log.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue } from "../../support/publisher.ts";
import { type NumberedEvent, ScriptedCollector } from "../../support/scripted_collector.ts";

const LIMIT = { timeout: 300_000 };

const numbered = (count: number): { n: number }[] =>
  Array.from({ length: count }, (_, index) => ({ n: index + 1 }));

const isPoison = ({ n }: NumberedEvent): boolean => n === 2;

test(
  "onDelivered is called for each settled batch, and onDeadLetter for each dead letter",
  LIMIT,
  async () => {
    await using collector = await ScriptedCollector.open();
    collector.script = responses.times(1, responses.status(503), responses.reject(isPoison));
    const delivered: (DeliveredEvents & { depth: number })[] = [];
    const dead: (NewDeadLetter & { body: string })[] = [];
    await using main = newQueue(
      `http://127.0.0.1:${collector.port}`,
      {},
      {
        onDelivered: (events) => delivered.push({ ...events, depth: main.queue.depth() }),
        onDeadLetter: (letter) => {
          const { body } = main.publisher.deadLetters.get(letter.id) ?? assert.fail("it is not kept yet");
          dead.push({ ...letter, body: new TextDecoder().decode(body) });
        },
      },
    );
    main.queue.putMany(numbered(3));
    void main.publisher.run();
    await eventually("an empty queue", () => main.queue.depth() === 0);

    assert.deepEqual(dead, [
      { queue: "main", subscription: "default", id: 2, status: 422, response: "", body: '{"n":2}' },
    ]);
    assert.deepEqual(
      delivered.map(({ firstId, lastId, count, queue }) => [queue, firstId, lastId, count]).sort(),
      [
        ["main", 1, 1, 1],
        ["main", 3, 3, 1],
      ],
    );
    for (const { attempts, sizeBytes, durationMs, depth, count } of delivered) {
      assert.ok(attempts >= 1 && sizeBytes === '[{"n":1}]'.length && durationMs > 0);
      assert.ok(depth <= 3 - count);
    }
  },
);

test(
  "a 422 that names events causes an onDeadLetter for each, and one onDelivered for the others",
  LIMIT,
  async () => {
    await using collector = await ScriptedCollector.open();
    collector.script = responses.rejectNamed(isPoison, "is poison");
    const told: unknown[] = [];
    await using main = newQueue(
      `http://127.0.0.1:${collector.port}`,
      {},
      {
        onDelivered: ({ count }) => told.push(count),
        onDeadLetter: ({ id, response }) => told.push([id, response]),
      },
    );
    main.queue.putMany(numbered(3));
    void main.publisher.run();
    await eventually("an empty queue", () => main.queue.depth() === 0);
    assert.deepEqual(told, [[2, "is poison"], 2]);
  },
);

test("onHealthChange is called when the health changes, and when it is ok again", LIMIT, async () => {
  await using collector = await ScriptedCollector.open();
  collector.script = responses.status(403);
  const told: [health: string, reason: string | undefined][] = [];
  await using main = newQueue(
    `http://127.0.0.1:${collector.port}`,
    {},
    { onHealthChange: ({ health, reasons }) => told.push([health, reasons[0]?.slice(0, 15)]) },
  );
  main.queue.put({ n: 1 });
  void main.publisher.run();
  await eventually("failing", () => told.length === 1);
  collector.script = responses.accept();
  await eventually("ok again", () => told.length === 2);
  assert.deepEqual(told, [
    ["failing", "the destination"],
    ["ok", undefined],
  ]);
});

test("a hook that throws or rejects is logged, and publishing continues", LIMIT, async (t) => {
  const records = captureLog();
  t.after(resetSync);
  await using collector = await ScriptedCollector.open();
  collector.script = responses.rejectNamed(isPoison);
  await using main = newQueue(
    `http://127.0.0.1:${collector.port}`,
    {},
    {
      onDelivered: () => {
        throw new Error("a slip in onDelivered");
      },
      onDeadLetter: async () => {
        throw new Error("a slip in onDeadLetter");
      },
      onHealthChange: () => {
        throw new Error("a slip in onHealthChange");
      },
    },
  );
  main.queue.putMany(numbered(3));
  void main.publisher.run();
  const failed = (): unknown[] =>
    records.filter(({ properties }) => "hook" in properties).map(({ properties }) => properties);
  await eventually("an empty queue", () => main.queue.depth() === 0 && failed().length >= 3);
  main.queue.put({ n: 4 });
  await eventually("an empty queue", () => main.queue.depth() === 0);
  for (const hook of ["onDelivered", "onDeadLetter", "onHealthChange"])
    assert.ok(
      failed().some((failure) => isOf(failure, { hook, reason: `a slip in ${hook}` })),
      hook,
    );
  assert.equal(main.publisher.status().consecutiveStorageFailures, 0);
});

function isOf(failure: unknown, { hook, reason }: { hook: string; reason: string }): boolean {
  const { hook: itsHook, reason: itsReason } = failure as { hook: string; reason: string };
  return itsHook === hook && itsReason === reason;
}
