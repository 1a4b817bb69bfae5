import assert from "node:assert/strict";
import { test } from "node:test";
import { StatsdClient } from "../../../src/metrics/statsd.ts";
import { PublisherCounts } from "../../../src/publisher/counts.ts";
import type { Destination } from "../../../src/publisher/destinations/destination.ts";
import { Sender, type SenderDependencies, type Sent } from "../../../src/publisher/sender.ts";
import type { Lease } from "../../../src/storage/leases.ts";
import { DurableEvents } from "../../../src/storage/wal.ts";
import { collectorAt, serveCollector } from "../../support/collector.ts";
import { KEY } from "../../support/keys.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";
import { rejectingUrl, serveHttp } from "../../support/servers.ts";
import { listenAsStatsd, type TestStatsd } from "../../support/statsd.ts";

const NEVER = new AbortController().signal;
const EVENTS = ['{"id":1}', '{"id":9007199254740993}', '{"é":"\\u0000"}'];

/** Puts the events and claims them all. */
function leaseOf(queue: TestQueue, events: readonly string[] = EVENTS): Lease {
  queue.events.putMany(events.map((event) => Buffer.from(event)));
  return queue.leases.claim(0, events.length)!;
}

/** Claims one more event. */
function claimed(queue: TestQueue): Lease {
  queue.events.put(Buffer.from("{}"));
  const claimedId = queue.leases.claimedId();
  return queue.leases.claim(claimedId, claimedId + 1)!;
}

interface SendOptions {
  readonly parts?: Partial<SenderDependencies>;
  readonly place?: Parameters<typeof collectorAt>[1];
  readonly statsd?: TestStatsd;
  readonly stop?: AbortSignal;
  readonly lease?: Lease;
}

/** Sends a lease of the queue as a publisher does, and its metrics. */
async function send(queue: TestQueue, url: string, options: SendOptions = {}): Promise<Sent> {
  const { parts, place, statsd, stop = NEVER, lease = leaseOf(queue) } = options;
  const metrics = new StatsdClient({ namespace: "events", endpoint: statsd?.endpoint });
  const sender = new Sender({
    leases: queue.leases,
    queue: "main",
    destination: collectorAt(`${url}/v2j`, place),
    durable: new DurableEvents(queue.file.path, queue.events),
    leaseMs: 60_000,
    metrics,
    counts: new PublisherCounts(),
    ...parts,
  });
  const sent = await sender.send(lease, stop);
  await metrics.close();
  return sent;
}

/** A destination that waits for ever where it is told to. */
function endless(place: "prepare" | "send"): Destination {
  const never = new Promise<never>(() => {});
  return {
    url: "test:",
    timeoutMs: 1,
    emptyBatchBytes: 0,
    prepare: async () => (place === "prepare" ? await never : { sizeBytes: 1, send: () => never }),
    close: async () => {},
  };
}

test("keeps the events of a batch that is never ready or never settled, and says what to look at", async () => {
  for (const [place, reason] of [
    ["prepare", /not ready before its lease ended: see that transform/],
    ["send", /no outcome before the lease ended/],
  ] as const) {
    using queue = testQueue();
    const { outcome } = await send(queue, "http://127.0.0.1:9", {
      parts: { destination: endless(place), leaseMs: 20 },
    });
    assert.equal(outcome.kind, "unavailable");
    assert.match((outcome as { reason: string }).reason, reason);
  }
  using queue = testQueue();
  const cut = new AbortController();
  setTimeout(() => cut.abort(), 20);
  const { outcome } = await send(queue, "http://127.0.0.1:9", {
    parts: { destination: endless("prepare") },
    stop: cut.signal,
  });
  assert.match((outcome as { reason: string }).reason, /grace time/);
  await using collector = await serveCollector();
  const parts = { leaseMs: Number.POSITIVE_INFINITY };
  const patient = await send(queue, collector.url, { parts, lease: claimed(queue) });
  assert.equal(patient.outcome.kind, "accepted", "timers know no such time");
});

test("delivers the events of a lease as they were put, with their ids", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();

  const { durationMs, ...sent } = await send(queue, collector.url);
  assert.ok(durationMs > 0);
  assert.deepEqual(sent, {
    outcome: { kind: "accepted", duplicates: 0 },
    uuid: queue.leases.epochs.uuidAt(1),
    count: 3,
    acceptedCount: 3,
    sizeBytes: Buffer.byteLength(`[${EVENTS.join(",")}]`),
  });

  const [batch] = collector.batches;
  assert.deepEqual(batch?.events, EVENTS);
  assert.deepEqual(batch?.meta, {
    version: "2j",
    keyName: KEY.name,
    eventIds: `${queue.leases.epochs.uuidAt(1)}:1-3`,
  });
  assert.equal(queue.events.depth(), 3, "the publisher settles the lease");
});

test("sends nothing before it is synced, and nothing if the sync fails", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  const seen: number[] = [];
  const close = async (): Promise<void> => {};
  const reach = async (id: number): Promise<void> => void seen.push(id, collector.batches.length);
  await send(queue, collector.url, { parts: { durable: { reach, close } } });
  assert.deepEqual(seen, [EVENTS.length, 0]);
  assert.equal(collector.batches.length, 1);

  const fail = (): Promise<void> => Promise.reject(new Error("the disk is gone"));
  await assert.rejects(
    send(queue, collector.url, { parts: { durable: { reach: fail, close } }, lease: claimed(queue) }),
    /is gone/,
  );
  assert.equal(collector.batches.length, 1);
});

test("delivers in version 2 as well", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();

  const events = ['{"1":{"str":"a"}}', '{"2":{"i64":9007199254740993}}'];

  const place = { url: `${collector.url}/v2`, version: "2" } as const;
  await send(queue, collector.url, { place, lease: leaseOf(queue, events) });

  assert.deepEqual(collector.batches[0]?.events, events);
  assert.equal(collector.batches[0]?.meta.version, "2");
});

test("sends the same ids on each attempt", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  const lease = leaseOf(queue);
  await send(queue, collector.url, { lease });
  queue.leases.release(lease);

  await send(queue, collector.url, { lease: queue.leases.claimExpired()! });

  const [first, second] = collector.batches.map(({ meta }) => meta.eventIds);
  assert.equal(second, first);
});

test("returns the collector's rejection, with its response", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  const lease = leaseOf(queue, ["no JSON"]);

  const { outcome } = await send(queue, collector.url, { lease });

  const response = '{"error":"The body is not JSON in UTF-8.","code":"malformed"}';
  assert.deepEqual(outcome, { kind: "rejected", status: 400, response });
});

test("reports a wrong key as misconfigured, without a secret", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  const key = { name: KEY.name, secret: Buffer.from("other secret") };

  const { outcome } = await send(queue, collector.url, { place: { key } });

  assert.equal(outcome.kind, "misconfigured");
  assert.match((outcome as { reason: string }).reason, /^the destination responded with 403: .*wrong MAC/);
  assert.doesNotMatch(JSON.stringify(outcome), /secret/);
});

test("reports an unreachable collector as unavailable, with the reason", async () => {
  using queue = testQueue();
  const url = await rejectingUrl();
  const { outcome } = await send(queue, url);
  assert.equal(outcome.kind, "unavailable");
  const { reason } = outcome as { reason: string };
  assert.ok(reason.startsWith(`POST ${url}/v2j: `), reason);
  assert.match(reason, /ECONNREFUSED/);
  assert.ok((reason.match(/ECONNREFUSED/g)?.length ?? 0) <= 1, reason);
});

test("says that the grace time was over when a stop aborts the request", async () => {
  using queue = testQueue();
  const stop = new AbortController();
  await using server = await serveHttp(() => stop.abort());

  const { outcome } = await send(queue, server.url, { stop: stop.signal });

  assert.deepEqual(outcome, {
    kind: "unavailable",
    reason: "the grace time of the stop has ended",
    isTransport: true,
  });
});

test("sends nothing when somebody deleted the rows", async () => {
  using queue = testQueue();
  await using server = await serveHttp((response) => response.end());
  const lease = leaseOf(queue);
  queue.file.db.exec("DELETE FROM eventspool_event");

  assert.deepEqual(await send(queue, server.url, { lease }), {
    outcome: { kind: "accepted" },
    uuid: queue.leases.epochs.uuidAt(1),
    count: 0,
    acceptedCount: 0,
    sizeBytes: 0,
    durationMs: 0,
  });
  assert.equal(server.requests.length, 0);
});

test("counts the events sent and times the POST", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  await using statsd = await listenAsStatsd();

  await send(queue, collector.url, { statsd });

  const [post, sent] = await statsd.packets(2);
  assert.match(post!, /^events\.post:[\d.]+(e-\d+)?\|ms$/);
  assert.equal(sent, "events.sent:3|c");
});

test("counts a response other than 2xx as an HTTP error, with its time", async () => {
  using queue = testQueue();
  await using server = await serveHttp((response) => response.writeHead(503).end());
  await using statsd = await listenAsStatsd();

  await send(queue, server.url, { statsd });

  const [error, post] = await statsd.packets(2);
  assert.equal(error, "events.error.http:1|c");
  assert.match(post!, /^events\.post:/);
});

test("counts a missing response as an I/O error, with its time", async () => {
  using queue = testQueue();
  await using statsd = await listenAsStatsd();

  await send(queue, await rejectingUrl(), { statsd });

  const [error, post] = await statsd.packets(2);
  assert.equal(error, "events.error.io:1|c");
  assert.match(post!, /^events\.post:/);
});

test("counts as accepted what is neither rejected, nor to be sent again, nor dropped", async () => {
  const rejected = [{ id: 2, status: 422, response: "" }];
  for (const [outcome, accepted] of [
    [{ kind: "partial", rejected, undelivered: [1, 4], dropped: 1 }, 2],
    [{ kind: "partial", rejected, undelivered: [] }, 5],
    [{ kind: "accepted", dropped: 2 }, 4],
    [{ kind: "accepted", dropped: 6 }, 0],
    [{ kind: "unavailable", reason: "busy" }, 0],
  ] as const) {
    using queue = testQueue();
    const counts = new PublisherCounts();
    const destination: Destination = {
      url: "test:",
      timeoutMs: 1,
      emptyBatchBytes: 0,
      prepare: async () => ({ sizeBytes: 9, send: async () => outcome }),
      close: async () => {},
    };
    const sent = await send(queue, "http://127.0.0.1:9", {
      lease: leaseOf(queue, Array(6).fill("{}")),
      parts: { destination, counts },
    });
    assert.equal(sent.acceptedCount, accepted);
    assert.equal(
      counts.acceptedSeconds.counts.reduce((sum, count) => sum + count, 0),
      accepted,
    );
    const requests = Object.values(counts.requests).reduce((sum, count) => sum + count, 0);
    assert.equal(
      requests,
      Number(outcome.kind !== "accepted" || outcome.dropped < 6),
      "a batch that was not sent is none",
    );
  }
});

test("delivers when statsd is down", async () => {
  using queue = testQueue();
  await using collector = await serveCollector();
  const statsd = await listenAsStatsd();
  await statsd[Symbol.asyncDispose]();

  assert.equal((await send(queue, collector.url, { statsd })).outcome.kind, "accepted");
});
