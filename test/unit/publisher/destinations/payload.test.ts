import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { EventSerializationError } from "../../../../src/errors.ts";
import { DEFAULT_BATCH_MAX_AGE_MS, MAX_BATCH_BYTES } from "../../../../src/limits.ts";
import { Batcher, BatchSize } from "../../../../src/publisher/batcher.ts";
import { makePayload, type SigningKey, sign } from "../../../../src/publisher/destinations/payload.ts";
import { EventQueue } from "../../../../src/queue/event_queue.ts";
import { VERSION } from "../../../../src/version.ts";
import { BATCH_FORMATS, frame } from "../../../../src/wire/batch_format.ts";
import {
  joinEvents,
  type OriginalRun,
  originalKeys,
  originalRequests,
  originalRuns,
} from "../../../support/original_requests.ts";
import { type TestQueue, testQueue } from "../../../support/queue_file.ts";

const KEY: SigningKey = { name: "TestKey", secret: originalKeys.get("TestKey")! };

for (const { name, version, events, body, signature, headers } of originalRequests) {
  test(`frames, signs and compresses ${name} as the original did`, async () => {
    const framed = frame(BATCH_FORMATS[version], { count: events.length, joined: joinEvents(events) });
    const payload = await makePayload(framed, KEY);

    assert.ok(framed.equals(body));
    assert.equal(sign(framed, KEY), signature);
    assert.ok(gunzipSync(payload.body).equals(body));
    for (const header of ["Content-Type", "Content-Encoding", "X-Signature"])
      assert.equal(payload.headers[header], headers[header], header);
  });
}

for (const run of originalRuns) {
  test(`cuts the events of ${run.name} into the requests of the original`, async () => {
    using queue = testQueue();
    putAll(queue, run);

    const bodies = await drain(queue, run.version);

    assert.equal(bodies.length, run.requests.length);
    for (const [index, { body }] of run.requests.entries())
      assert.ok(bodies[index]!.equals(body), `request ${index + 1}`);
  });
}

test("rejects the events without a byte that the original drops", () => {
  const events = originalRuns.flatMap((run) => run.events).filter((event) => event.length === 0);
  assert.equal(events.length, 6, "three in each version");
  using queue = testQueue();
  using producer = openProducer(queue);
  for (const event of events) assert.throws(() => producer.put(event), EventSerializationError);
});

test("names itself and the time, as HTTP writes it", async () => {
  const earliestMs = Date.now() - 1_000; // the header has no milliseconds
  const { headers } = await makePayload(Buffer.from("[1]"), KEY);

  assert.match(headers.Date!, /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
  const sentAtMs = Date.parse(headers.Date!);
  assert.ok(sentAtMs >= earliestMs && sentAtMs <= Date.now());
  assert.equal(headers["User-Agent"], `eventspool/${VERSION}`);
});

test("compresses to gzip that gives any body back", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 10_000 }), async (body) => {
      const payload = await makePayload(body, KEY);
      assert.deepEqual(new Uint8Array(gunzipSync(payload.body)), body);
      assert.equal(payload.headers["X-Signature"], sign(body, KEY));
    }),
    { numRuns: 50 },
  );
});

test("signs with the key's bytes, whatever they are", () => {
  const secret = new Uint8Array([0, 255, 10]);
  // echo -n body | openssl dgst -sha256 -mac HMAC -macopt hexkey:00ff0a
  assert.equal(
    sign(Buffer.from("body"), { name: "a b, c", secret }),
    `key=a b, c, mac=95f8fde8714281fa17b96d0e4a1029995a9bf0f73de19ed4ada3bf416800dc53`,
  );
});

/** Through the queue's own put, which is where events without a byte end. */
function putAll(queue: TestQueue, { events }: OriginalRun): void {
  using producer = openProducer(queue);
  producer.putMany(events.filter((event) => event.length > 0));
}

function openProducer({ directory }: TestQueue): EventQueue<Uint8Array> {
  return new EventQueue("main", (event) => event, { directory, maxEvents: 20_000 });
}

/** What the publisher would send, request by request, until the queue is empty. */
async function drain({ leases, events }: TestQueue, version: "2" | "2j"): Promise<Buffer[]> {
  const limits = {
    emptyBytes: BATCH_FORMATS[version].baseBytes,
    size: new BatchSize(MAX_BATCH_BYTES),
    maxAgeMs: DEFAULT_BATCH_MAX_AGE_MS,
    minIntervalMs: 50,
  };
  const gathering = new Batcher(leases, limits);
  const bodies: Buffer[] = [];
  while (events.depth() > 0) {
    gathering.look(0);
    assert.equal(gathering.dueInMs(true, limits.maxAgeMs), 0);
    const lease = gathering.claim()!;
    bodies.push(frame(BATCH_FORMATS[version], leases.read(lease)));
    await leases.ack(lease);
  }
  return bodies;
}
