import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsPublisher } from "../../../src/nats/nats_publisher.ts";
import { eventually } from "../../support/eventually.ts";
import { leaderOf, type NatsServer, NO_NATS, openNats, startCluster } from "../../support/nats.ts";
import { connection, messages, numbered, publisher, RUNNING } from "../../support/nats_publisher.ts";

const skip = NO_NATS;
const CLUSTER_MS = 600_000;
const REPLICATED = { name: "EVENTS", subjects: ["events.>"], num_replicas: 3 };

/** Publishes until all is stored: sends undelivered messages again, as a publisher does. */
async function publishStubbornly(nats: NatsPublisher, texts: readonly string[]): Promise<void> {
  await eventually("all messages stored", async () => {
    const { undelivered, rejected } = await nats.publishAll(messages(texts), RUNNING);
    assert.deepEqual(rejected, []);
    return undelivered.length === 0;
  });
}

test("a dead leader is replaced, and all messages are stored once", {
  skip,
  timeout: CLUSTER_MS,
}, async () => {
  await using cluster = await startCluster();
  {
    await using client = await openNats(cluster.servers[0]!);
    await client.makeStream(REPLICATED);
  }
  const nats = new NatsPublisher(connection(cluster.servers), { name: "test", subjects: "events.>" });
  await publishStubbornly(nats, ["first"]);

  const leader = await leaderOf(cluster.servers, "EVENTS");
  const publishing = publishStubbornly(nats, numbered(5_000));
  await leader.kill();
  await publishing;

  const survivor = cluster.servers.find((server) => server !== leader)!;
  await using client = await openNats(survivor);
  const expected = ["first", ...numbered(5_000)].sort();
  const stored = await client.read("EVENTS", expected.length);
  assert.deepEqual(stored.map(({ text }) => text).sort(), expected);
  await nats.close();
});

test("a publish waits for a stream without a leader", { skip, timeout: CLUSTER_MS }, async () => {
  await using cluster = await startCluster();
  const [first, second, third] = cluster.servers as [NatsServer, NatsServer, NatsServer];
  {
    await using client = await openNats(first);
    await client.makeStream(REPLICATED);
  }
  await using nats = publisher(first, { timeoutMs: 5_000 });
  await publishStubbornly(nats, ["before"]);
  await second.kill();
  await third.kill();
  const { failure } = await nats.publishAll(messages(["meanwhile"]), RUNNING);
  assert.equal(failure?.kind, "unavailable");
  await second.start();
  await publishStubbornly(nats, ["meanwhile"]);
});

test("announced servers of the cluster replace the only configured one", {
  skip,
  timeout: CLUSTER_MS,
}, async () => {
  await using cluster = await startCluster();
  const [first, second] = cluster.servers as [NatsServer, NatsServer, NatsServer];
  {
    await using client = await openNats(second);
    await client.makeStream(REPLICATED);
  }
  await using nats = publisher(first);
  await publishStubbornly(nats, ["before"]);
  await first.kill();
  await publishStubbornly(nats, ["after"]);
  await using client = await openNats(second);
  assert.deepEqual(
    (await client.read("EVENTS", 2)).map(({ text }) => text),
    ["before", "after"],
  );
});
