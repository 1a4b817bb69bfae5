import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { EventSerializationError } from "../../../src/errors.ts";
import {
  BATCH_REGROWTH_MS,
  Batch,
  BatchSize,
  MIN_LEARNT_BATCH_BYTES,
} from "../../../src/publisher/batcher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { BATCH_FORMATS, frame } from "../../../src/wire/batch_format.ts";
import fc from "../../support/fast_check.ts";
import { joinEvents } from "../../support/original_requests.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { readVectors } from "../../support/vectors.ts";

interface BatchVector {
  readonly class: "V2Batch" | "V2JBatch" | "RawJSONBatch";
  readonly max_size: number;
  readonly item_lens: readonly (number | null)[] | { readonly repeat: number; readonly n: number };
  readonly ops: readonly string[] | Readonly<Record<string, number>>;
  readonly item_count: number;
  readonly estimated_size: number;
  readonly serialized_len: number;
  readonly sha256: string;
  readonly text: string | null;
}

const VERSION_BY_CLASS = { V2Batch: "2", V2JBatch: "2j", RawJSONBatch: "2j" } as const;

const { batches } = readVectors<{ batches: BatchVector[] }>("batch");

for (const [index, vector] of batches.entries()) {
  test(`builds batch ${index} of the original byte for byte: ${describe(vector)}`, () => {
    const format = BATCH_FORMATS[VERSION_BY_CLASS[vector.class]];
    const batch = new Batch(format.baseBytes, vector.max_size);
    const added: Buffer[] = [];
    const ops = itemsOf(vector).map((item) => {
      if (item.length === 0) return "ignored"; // by the original. Our put rejects it, see below
      if (!batch.add({ count: 1, bytes: item.length, lastId: added.length + 1 })) return "full";
      added.push(item);
      return "added";
    });
    const body = frame(format, { count: batch.count, joined: joinEvents(added) });

    assert.deepEqual(Array.isArray(vector.ops) ? ops : countEach(ops), vector.ops);
    assert.equal(batch.count, vector.item_count);
    assert.equal(batch.sizeBytes, vector.estimated_size);
    assert.equal(body.length, vector.serialized_len);
    assert.equal(createHash("sha256").update(body).digest("hex"), vector.sha256);
    if (vector.text !== null) assert.equal(body.toString(), vector.text);
  });
}

test("never sees an empty event: put rejects what the original drops silently", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", (event: Uint8Array) => event, { directory: directory.path });
  assert.throws(() => queue.put(new Uint8Array()), EventSerializationError);
  assert.throws(() => queue.put(null as never), EventSerializationError);
  assert.equal(queue.depth(), 0);
});

test("fills up to the first event that does not fit, and skips none", () => {
  const batch = new Batch(BATCH_FORMATS["2j"].baseBytes, 50);

  assert.equal(fill(batch, [5, 40, 2, 1]), true);

  assert.deepEqual([batch.count, batch.sizeBytes], [2, 49], "though the last would fit");
});

test("is full at its count of events, and counts what a destination writes around each", () => {
  const counted = new Batch(0, 50, { maxEvents: 3 });
  assert.equal(fill(counted, [1, 1, 1, 1, 1]), true);
  assert.deepEqual([counted.count, counted.lastId], [3, 3]);

  const wrapped = new Batch(0, 50, { eventOverheadBytes: 20 });
  assert.equal(fill(wrapped, [5, 5, 5]), true);
  assert.deepEqual([wrapped.count, wrapped.sizeBytes], [2, 50]);
});

test("continues to fill where it stopped", () => {
  const batch = new Batch(BATCH_FORMATS["2j"].baseBytes, 50);

  assert.equal(fill(batch, [5]), false);
  assert.equal(fill(batch, [5]), false);
  assert.equal(fill(batch, [5, 41]), false);
  assert.equal(batch.count, 2);

  assert.equal(fill(batch, [5, 41, 1]), true);
  assert.equal(batch.count, 2);
});

test("sends an event that is too large for any batch alone", () => {
  const batch = new Batch(BATCH_FORMATS["2"].baseBytes, 50);

  assert.equal(fill(batch, [23, 1]), true);

  assert.equal(batch.count, 1);
});

test("splits any events into batches in order, without loss, and above the limit only for a single event", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 200 });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 0, max: 1_000 }),
      fc.constantFrom("2", "2j"),
      (sizes, max, version) => {
        const format = BATCH_FORMATS[version];
        const batches = cut(sizes, () => new Batch(format.baseBytes, max));
        assert.deepEqual(batches.flat(), sizes);
        for (const [index, batch] of batches.entries()) {
          const sizeBytes = estimate(format.baseBytes, batch);
          assert.ok(sizeBytes <= max || batch.length === 1, `${sizeBytes} bytes, ${batch.length} events`);
          const next = batches[index + 1]?.slice(0, 1);
          if (next) assert.ok(sizeBytes + estimate(0, next) > max, "the next event would have fitted");
        }
      },
    ),
  );
});

test("is never larger on the wire than estimated, up to 9,999 events", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(sizes, fc.constantFrom("2", "2j"), (sizes, version) => {
      const format = BATCH_FORMATS[version];
      const body = frame(format, {
        count: sizes.length,
        joined: joinEvents(sizes.map((size) => Buffer.alloc(size, "x"))),
      });
      assert.ok(body.length <= estimate(format.baseBytes, sizes));
    }),
  );
});

/** Splits all events into batches. */
function cut(sizes: readonly number[], newBatch: () => Batch): number[][] {
  const batches: number[][] = [];
  for (let start = 0; start < sizes.length; ) {
    const batch = newBatch();
    fill(batch, sizes.slice(start));
    batches.push(sizes.slice(start, start + batch.count));
    start += batch.count;
  }
  return batches;
}

/** Fills a batch from events of these sizes, with ids from 1. It continues where it stopped. */
function fill(batch: Batch, sizes: readonly number[]): boolean {
  const sum = (firstId: number, lastId: number) => {
    const range = sizes.slice(firstId - 1, lastId);
    const last = range.length === 0 ? 0 : firstId + range.length - 1;
    return { count: range.length, bytes: range.reduce((bytes, size) => bytes + size, 0), lastId: last };
  };
  return batch.fill(sum, batch.lastId + 1, Number.MAX_SAFE_INTEGER);
}

function estimate(baseBytes: number, sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size + 1, baseBytes);
}

/** Item i of a vector consists of letter i of the alphabet, which repeats after `z`. */
function itemsOf({ item_lens }: BatchVector): Buffer[] {
  const lengths = "n" in item_lens ? new Array<number>(item_lens.n).fill(item_lens.repeat) : item_lens;
  return lengths.map((length, index) => Buffer.alloc(length ?? 0, String.fromCharCode(97 + (index % 26))));
}

function countEach(ops: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(ops, (op) => op)).map(([op, all]) => [op, all!.length]),
  );
}

function describe({ class: name, max_size, item_lens }: BatchVector): string {
  return `${name} of ${max_size} bytes, items ${JSON.stringify(item_lens)}`;
}

test("the size of a batch is the configured size until a batch is too large", () => {
  assert.equal(new BatchSize(500_000).bytes(1e9), 500_000);
});

test("the size of a batch is halved by each batch that is too large", () => {
  const size = new BatchSize(500_000);
  assert.equal(size.tooLarge(480_000, 1_000), true);
  assert.equal(size.bytes(1_000), 240_000);
  assert.equal(size.tooLarge(240_000, 2_000), true);
  assert.equal(size.bytes(2_000), 120_000);
});

test("the size of a batch is not halved again by a batch that was in flight at the same time", () => {
  const size = new BatchSize(500_000);
  size.tooLarge(200_000, 1_000);
  assert.equal(size.tooLarge(480_000, 1_000), false);
  assert.equal(size.bytes(1_000), 100_000);
});

test("the size of a batch is not halved when as large a batch was accepted before: one event is too large", () => {
  const size = new BatchSize(500_000);
  size.accepted(480_000);
  assert.equal(size.tooLarge(470_000, 0), false);
  size.accepted(235_000); // the half without that event
  assert.equal(size.tooLarge(235_000, 0), false);
  assert.equal(size.bytes(0), 500_000);
});

test("the size of a batch is halved by the second batch that is too large: the collector accepts less than before", () => {
  const size = new BatchSize(500_000);
  size.accepted(480_000);
  assert.equal(size.tooLarge(470_000, 0), false);
  assert.equal(size.tooLarge(470_000, 0), true);
  assert.equal(size.bytes(0), 235_000);
});

test("the size of a batch doubles again in ten minutes, up to the configured size", () => {
  const size = new BatchSize(500_000);
  size.tooLarge(200_000, 0);
  assert.equal(size.bytes(BATCH_REGROWTH_MS / 2), Math.floor(100_000 * Math.SQRT2));
  assert.equal(size.bytes(BATCH_REGROWTH_MS), 200_000);
  assert.equal(size.bytes(100 * BATCH_REGROWTH_MS), 500_000);
});

test("the size of a batch never falls below the minimum", () => {
  const size = new BatchSize(500_000);
  assert.equal(size.tooLarge(1_000, 0), true);
  assert.equal(size.bytes(0), MIN_LEARNT_BATCH_BYTES);
  assert.equal(size.tooLarge(1_000, 0), false);
});
