import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_BATCH_MAX_AGE_MS } from "../../../src/config/publisher_config.ts";
import { EventSerializationError } from "../../../src/errors.ts";
import { Batcher, BatchSize } from "../../../src/publisher/batcher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { BATCH_FORMATS, frame, MAX_BATCH_BYTES } from "../../../src/wire/batch_format.ts";
import { formatSignature, type SigningKey, signBody } from "../../../src/wire/signature.ts";
import {
  joinEvents,
  type OriginalRun,
  originalKeys,
  originalRequests,
  originalRuns,
} from "../../support/original_requests.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";

const KEY: SigningKey = { name: "TestKey", secret: originalKeys.get("TestKey")! };

for (const { name, version, events, body, signature, headers } of originalRequests) {
  test(`frames and signs ${name} as the original did`, () => {
    const framed = frame(BATCH_FORMATS[version], { count: events.length, joined: joinEvents(events) });

    assert.ok(framed.equals(body));
    assert.equal(formatSignature(signBody(framed, KEY)), signature);
    assert.equal(headers["X-Signature"], signature);
  });
}

for (const run of originalRuns) {
  test(`splits the events of ${run.name} into the requests of the original`, async () => {
    using queue = testQueue();
    putAll(queue, run);

    const bodies = await drain(queue, run.version);

    assert.equal(bodies.length, run.requests.length);
    for (const [index, { body }] of run.requests.entries())
      assert.ok(bodies[index]!.equals(body), `request ${index + 1}`);
  });
}

test("rejects the empty events that the original drops", () => {
  const events = originalRuns.flatMap((run) => run.events).filter((event) => event.length === 0);
  assert.equal(events.length, 6, "three in each version");
  using queue = testQueue();
  using producer = openProducer(queue);
  for (const event of events) assert.throws(() => producer.put(event), EventSerializationError);
});

/** Through put, which rejects empty events. */
function putAll(queue: TestQueue, { events }: OriginalRun): void {
  using producer = openProducer(queue);
  producer.putMany(events.filter((event) => event.length > 0));
}

function openProducer({ directory }: TestQueue): EventQueue<Uint8Array> {
  return new EventQueue("main", (event) => event, { directory, maxEvents: 20_000 });
}

/** The requests that a publisher sends until the queue is empty. */
async function drain({ leases, events }: TestQueue, version: "2" | "2j"): Promise<Buffer[]> {
  const limits = {
    emptyBytes: BATCH_FORMATS[version].baseBytes,
    size: new BatchSize(MAX_BATCH_BYTES),
    maxAgeMs: DEFAULT_BATCH_MAX_AGE_MS,
    minIntervalMs: 50,
  };
  const batcher = new Batcher(leases, limits);
  const bodies: Buffer[] = [];
  while (events.depth() > 0) {
    batcher.refresh(0);
    assert.equal(batcher.dueInMs(true, limits.maxAgeMs), 0);
    const lease = batcher.claim()!;
    bodies.push(frame(BATCH_FORMATS[version], leases.read(lease)));
    await leases.ack(lease);
  }
  return bodies;
}
