/**
 * The original's batching loop with its times, and where ours differs on purpose.
 * docs/moving-from-baseplate.md lists the same.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_BATCH_MAX_AGE_MS } from "../../../src/config/publisher_config.ts";
import { Batcher, BatchSize } from "../../../src/publisher/batcher.ts";
import { BATCH_FORMATS, MAX_BATCH_BYTES } from "../../../src/wire/batch_format.ts";
import { type TestQueue, testQueue } from "../../support/queue_file.ts";
import { readVectors } from "../../support/vectors.ts";

/** A time in seconds, the size of an event or a tick without one, and what the original did. */
type Tick = readonly [seconds: number, eventBytes: number | null, did: "add" | "flush", count?: number];

/** A batch that was sent: the time in milliseconds, and the number of events. */
type Sent = readonly [atMs: number, count: number];

const { loop } = readVectors<{ loop: Record<string, readonly Tick[]> }>("batch");

test("sends when the original does: when the batch is full, or a second after its first event", () => {
  for (const name of ["size_full", "event_at_first_tick"]) {
    const script = loop[name]!;
    assert.deepEqual(replay(script).sent, sentByOriginal(script), name);
  }
});

test("sends no empty batch; the original makes one each idle second", () => {
  const script = loop.idle_then_event!;
  assert.deepEqual(sentByOriginal(script), [
    [1_000, 0],
    [2_000, 1],
    [3_000, 0],
  ]);
  assert.ok(replay(script).sent.every(([, count]) => count > 0));
});

test("waits a whole second for more events; the original counts from an idle tick before the event", () => {
  const { idle_then_event, event_just_before_flush } = loop as Record<string, readonly Tick[]>;
  assert.deepEqual(replay(idle_then_event!).sent, [[2_600, 1]], "put at 1,450: the first tick after 2,450");

  assert.deepEqual(sentByOriginal(event_just_before_flush!), [[1_190, 1]], "put at 990");
  const ours = replay(event_just_before_flush!);
  assert.deepEqual(ours.sent, []);
  assert.equal(ours.dueAtMs, 1_990);
});

test("sends after a second even if the system clock is set back; the original waits until the clock has caught up", () => {
  const script = loop.clock_goes_back_an_hour!;
  assert.deepEqual(sentByOriginal(script), [[1_000, 1]], "an hour and a second later");

  // Our clock is monotonic: it shows the steps forward and not the one back.
  assert.deepEqual(replay(monotonic(script)).sent, [[1_200, 1]]);
});

/** Each tick of the publisher: send a batch that is due, then put the event. */
function replay(script: readonly Tick[]): { sent: Sent[]; dueAtMs: number } {
  using queue = testQueue();
  const limits = {
    emptyBytes: BATCH_FORMATS["2"].baseBytes,
    size: new BatchSize(MAX_BATCH_BYTES),
    maxAgeMs: DEFAULT_BATCH_MAX_AGE_MS,
    minIntervalMs: 50,
  };
  const batcher = new Batcher(queue.leases, limits);
  const sent: Sent[] = [];
  let dueAtMs = Number.POSITIVE_INFINITY;
  for (const [seconds, eventBytes] of script) {
    const nowMs = toMs(seconds);
    sent.push(...sendDue(batcher, nowMs));
    if (eventBytes !== null) putEvent(queue, eventBytes);
    sent.push(...sendDue(batcher, nowMs));
    dueAtMs = nowMs + batcher.dueInMs(true, nowMs);
  }
  return { sent, dueAtMs };
}

function sendDue(batcher: Batcher, nowMs: number): Sent[] {
  const sent: Sent[] = [];
  for (batcher.refresh(nowMs); batcher.dueInMs(true, nowMs) === 0; batcher.refresh(nowMs)) {
    const lease = batcher.claim()!;
    sent.push([nowMs, lease.lastId - lease.firstId + 1]);
  }
  return sent;
}

function putEvent({ events }: TestQueue, eventBytes: number): void {
  assert.ok(events.put(Buffer.alloc(eventBytes, "x")));
}

function sentByOriginal(script: readonly Tick[]): Sent[] {
  return script.filter(([, , did]) => did === "flush").map(([seconds, , , count]) => [toMs(seconds), count!]);
}

function monotonic(script: readonly Tick[]): Tick[] {
  let atSeconds = 0;
  return script.map(([seconds, eventBytes, did], index) => {
    atSeconds += Math.max(0, seconds - (script[index - 1]?.[0] ?? 0));
    return [atSeconds, eventBytes, did];
  });
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1_000);
}
