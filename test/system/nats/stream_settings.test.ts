import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import type { NatsPublisher } from "../../../src/nats/nats_publisher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { type NatsClient, NO_NATS, openNats, startCluster, startNats } from "../../support/nats.ts";
import { messages, publisher, RUNNING } from "../../support/nats_publisher.ts";
import { start } from "../../support/processes.ts";
import { run } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const skip = NO_NATS;
const DAY_NS = 86_400e9;
const SAFE: Partial<StreamConfig> & { name: string } = {
  name: "EVENTS",
  subjects: ["events.>"],
  discard: DiscardPolicy.New,
  max_age: 7 * DAY_NS,
};

/** The risks, as soon as a busy server responds in time. */
async function checkedRisks(nats: NatsPublisher): Promise<readonly string[]> {
  return await eventually("a check", () => nats.checkStreams().catch(() => undefined));
}

/** Recreates the stream with these settings, and returns its risks as the server reports them. */
async function risksOf(
  nats: NatsPublisher,
  client: NatsClient,
  settings: Partial<StreamConfig>,
): Promise<readonly string[]> {
  await client.jsm.streams.delete("EVENTS").catch(() => {});
  await client.makeStream({ ...SAFE, ...settings });
  return await checkedRisks(nats);
}

/** Checks until the risks are of these settings: the servers of a cluster learn of a change one after the other. */
async function risksBecome(nats: NatsPublisher, settings: readonly string[]): Promise<void> {
  await eventually(`the risks of ${settings.join(" and ")}`, async () => {
    const risks = await nats.checkStreams().catch(() => []);
    return settingsOf(risks).join() === settings.join();
  });
}

/** The setting that each risk names: `storage` of `stream EVENTS: storage=memory: ...`. */
function settingsOf(risks: readonly string[]): string[] {
  return risks.map((risk) => /^stream \w+: (\w+)/.exec(risk)?.[1] ?? risk);
}

test("a real server reports each setting that puts events at risk", { skip, timeout: 600_000 }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await using nats = publisher(server);
  for (const [settings, named] of [
    [{}, []],
    [{ storage: StorageType.Memory }, ["storage"]],
    [{ retention: RetentionPolicy.Interest }, ["retention"]],
    [{ retention: RetentionPolicy.Workqueue }, ["retention"]],
    [{ discard: DiscardPolicy.Old }, ["discard"]],
    [{ discard: DiscardPolicy.Old, max_msgs: 10 }, ["discard"]],
    [{ no_ack: true }, ["no_ack"]],
    [{ max_msgs_per_subject: 1 }, ["max_msgs_per_subject"]],
    [{ max_msgs_per_subject: 1, discard_new_per_subject: true }, []],
    [{ max_age: 3_600e9 }, ["max_age"]],
    [{ max_msg_size: 1_000 }, ["max_msg_size"]],
    [{ duplicate_window: 30e9 }, ["duplicate_window"]],
    [
      { storage: StorageType.Memory, discard: DiscardPolicy.Old, no_ack: true },
      ["no_ack", "storage", "discard"],
    ],
  ] as ReadonlyArray<[Partial<StreamConfig>, string[]]>)
    assert.deepEqual(
      settingsOf(await risksOf(nats, client, settings)),
      named,
      `the settings ${JSON.stringify(settings)}`,
    );

  await client.jsm.streams.delete("EVENTS");
  assert.deepEqual(await checkedRisks(nats), [], "no stream: the publishing itself says so");
  await client.makeStream({ ...SAFE, subjects: ["events.a"] });
  await client.makeStream({ ...SAFE, name: "OTHER", subjects: ["events.b"], storage: StorageType.Memory });
  assert.match(
    (await checkedRisks(nats)).join(),
    /^stream OTHER: storage=memory/,
    "each stream of the subjects",
  );
  await using strict = publisher(server, { expectedStream: "EVENTS" });
  assert.deepEqual(await checkedRisks(strict), []);
});

test("an interest stream drops acknowledged events, as its risk says", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await using nats = publisher(server);
  await client.makeStream({ ...SAFE, retention: RetentionPolicy.Interest });
  const texts = Array.from({ length: 500 }, (_, n) => `event ${n}`);
  const { undelivered, failure } = await nats.publishAll(messages(texts), RUNNING);
  assert.deepEqual([undelivered, failure], [[], undefined]);
  assert.equal((await client.jsm.streams.info("EVENTS")).state.messages, 0);
  await eventually("the risk", () => nats.risks.length === 1);
  assert.match(nats.risks[0]!, /every event is acknowledged and dropped at once/);
});

test("a mirror, a sealed stream and a single replica in a cluster are risks", {
  skip,
  timeout: 600_000,
}, async () => {
  await using cluster = await startCluster();
  const [server] = cluster.servers;
  await using client = await openNats(server!);
  await client.makeStream({ ...SAFE, num_replicas: 1 });
  await using nats = publisher(server!);
  await risksBecome(nats, ["num_replicas"]);

  await client.jsm.streams.add({
    name: "COPY",
    mirror: { name: "EVENTS" },
    num_replicas: 3,
    discard: DiscardPolicy.New,
  });
  await using toCopy = publisher(server!, { expectedStream: "COPY" });
  await risksBecome(toCopy, ["mirror"]);
  assert.match(toCopy.risks.join(), /^stream COPY: mirror: .* accepts no events/);

  await client.jsm.streams.update("EVENTS", { sealed: true } as object);
  await risksBecome(nats, ["sealed", "num_replicas"]);
});

test("a stream that is created after the first look is checked soon", { skip }, async () => {
  await using server = await startNats();
  await using client = await openNats(server);
  await using nats = publisher(server);
  assert.equal((await nats.publishAll(messages(["a"]), RUNNING)).failure?.kind, "misconfigured");
  await client.makeStream({ ...SAFE, storage: StorageType.Memory });
  await eventually("the risk", async () => {
    await nats.publishAll(messages(["b"]), RUNNING);
    return nats.risks.length === 1;
  });
});

test("streams are checked again on a new connection", { skip, timeout: 600_000 }, async () => {
  await using server = await startNats();
  await using nats = publisher(server);
  {
    await using client = await openNats(server);
    await client.makeStream({ ...SAFE, max_msgs_per_subject: 5 });
    await nats.publishAll(messages(["a"]), RUNNING);
    await eventually("the risk", () => nats.risks.length === 1);
    await client.jsm.streams.update("EVENTS", { max_msgs_per_subject: -1 });
  }
  await server.kill();
  await server.start();
  await eventually("no risk", async () => {
    await nats.publishAll(messages(["b"]), RUNNING);
    return nats.risks.length === 0;
  });
});

test("a user who may not check the streams can publish, and a check says so", { skip }, async () => {
  const user = 'user: "u", password: "p", permissions: { publish: ["events.>"], subscribe: "_INBOX.>" }';
  await using server = await startNats(
    `authorization { users: [ { ${user} }, { user: "admin", password: "a" } ] }`,
  );
  await using client = await openNats(server, { user: "admin", pass: "a" });
  await client.makeStream({ ...SAFE, storage: StorageType.Memory });
  using directory = temporaryDirectory();
  const login = "nats.user = u\nnats.password = p";
  const { status, warnings } = check("publisher", publisherConfig(server.address, login), directory.path);
  assert.equal(status, 0);
  assert.match(warnings.join(), /the server.s settings are unknown: .*\$JS\.API\.STREAM/);

  await using program = start("src/commands/publisher.ts", [join(directory.path, "publisher.ini")]);
  await program.line(/Publishing queue/);
  using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path });
  queue.put({ n: 1 });
  await eventually("the event", async () => (await client.read("EVENTS")).length === 1);
  assert.doesNotMatch(program.stderr.join("\n"), /"level":"(WARN|ERROR)"/);
});

function publisherConfig(address: string, more: string = ""): string {
  return `[event-publisher:main]\ndestination = nats\nnats.servers = ${address}\nadmin.listen = 127.0.0.1:0\n${more}\n`;
}

function collectorConfig(address: string): string {
  return `[event-collector]\nlisten = 127.0.0.1:0\nsink = nats\nnats.servers = ${address}\nkey.main = ${KEY_BASE64}\n`;
}

/** Runs `--check` of a command with a configuration, and returns its output. */
function check(
  command: string,
  config: string,
  directory: string,
): { status: number | null; warnings: readonly string[] } {
  const path = join(directory, `${command}.ini`);
  const place = command === "publisher" ? `queue.directory = ${directory}\n` : "";
  writeFileSync(path, config + place, { mode: 0o600 });
  const { status, output } = run(new URL(`../../../src/commands/${command}.ts`, import.meta.url).pathname, [
    "--check",
    path,
  ]);
  const { warnings } = JSON.parse(output) as { warnings: readonly string[] };
  return { status, warnings };
}

for (const [command, config, metric, reason] of [
  ["publisher", publisherConfig, "eventspool_destination_risks", "the destination puts events at risk: "],
  ["collector", collectorConfig, "eventspool_collector_sink_risks", "The sink puts events at risk: "],
] as const)
  test(`the risk is in the ${command}'s log, --check, /health and /metrics before the first event`, {
    skip,
    timeout: 600_000,
  }, async () => {
    await using server = await startNats();
    await using client = await openNats(server);
    await client.makeStream({ ...SAFE, storage: StorageType.Memory });
    using directory = temporaryDirectory();
    const risk = "stream EVENTS: storage=memory: acknowledged events are lost when its servers restart";
    const { status, warnings } = check(command, config(server.address), directory.path);
    assert.equal(status, 0);
    assert.ok(
      warnings.some((warning) => warning.startsWith(risk)),
      warnings.join("\n"),
    );

    await using program = start(`src/commands/${command}.ts`, [join(directory.path, `${command}.ini`)]);
    await program.line(/"level":"WARN".*settings put events at risk: .*storage=memory/);
    const [, address] = /(?:Admin|Collecting) at (?:\\")?(http:[^"\\]+)/.exec(
      await program.line(/(?:Admin|Collecting) at/),
    )!;
    const health = await fetch(new URL("/health", address));
    assert.equal(health.status, 200);
    const said = (await health.json()) as { status: string; reasons: string[] };
    assert.equal(said.status, "degraded");
    assert.ok(said.reasons[0]!.startsWith(reason + risk), said.reasons.join("\n"));
    const metrics = await (await fetch(new URL("/metrics", address))).text();
    assert.match(metrics, new RegExp(`^${metric}(\\{.*\\})? 1$`, "m"));
  });

test("a check of servers that are down says so, and is no error", { skip }, () => {
  using directory = temporaryDirectory();
  for (const [command, config] of [
    ["publisher", publisherConfig("127.0.0.1:9")],
    ["collector", collectorConfig("127.0.0.1:9")],
  ] as const) {
    const { status, warnings } = check(command, config, directory.path);
    assert.equal(status, 0);
    assert.match(
      warnings.join(),
      /the server.s settings are unknown: NATS at 127\.0\.0\.1:9 cannot be reached/,
    );
  }
});
