import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type DepthSample,
  HISTORY_EVERY_MS,
  HISTORY_SAMPLES,
  History,
  type Point,
  ratesBetween,
  sparkline,
  toSample,
} from "../../../../src/admin/dashboard/charts.ts";
import { newQueue } from "../../../support/publisher.ts";

function sample(atMs: number, counts: Partial<DepthSample> = {}): DepthSample {
  return { atMs, depth: 0, oldestAgeMs: 0, put: 0, delivered: 0, ...counts };
}

test("keeps the newest samples, and no more than fifteen minutes of them", () => {
  const history = new History();
  for (let nth = 0; nth < HISTORY_SAMPLES + 20; nth++) history.add(sample(nth * HISTORY_EVERY_MS));
  assert.equal(history.samples.length, HISTORY_SAMPLES);
  assert.equal(history.samples[0]!.atMs, 20 * HISTORY_EVERY_MS);
  assert.equal(history.samples.at(-1)!.atMs - history.samples[0]!.atMs, 15 * 60_000);
});

test("counts rates over the last seconds, and not over a moment in which a batch went", () => {
  const history = new History();
  assert.equal(history.ratesUntil(sample(0)), undefined);
  history.add(sample(0, { put: 100, delivered: 90 }));
  history.add(sample(5_000, { put: 200, delivered: 100 }));
  assert.deepEqual(history.ratesUntil(sample(5_001, { put: 260, delivered: 151 })), {
    put: 160 / 5.001,
    delivered: 61 / 5.001,
  });
  assert.deepEqual(history.ratesUntil(sample(9_000, { put: 240, delivered: 120 })), {
    put: 10,
    delivered: 5,
  });
});

test("gives no negative rate, and none between two samples of one moment", () => {
  assert.deepEqual(ratesBetween(sample(0, { put: 10 }), sample(1_000, { put: 5 })), { put: 0, delivered: 0 });
  assert.deepEqual(ratesBetween(sample(0), sample(0, { put: 5 })), { put: 0, delivered: 0 });
});

test("reads its figures from a publisher's status", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  const { oldestAgeMs, ...figures } = toSample(main.publisher.status(), 7);
  assert.deepEqual(figures, { atMs: 7, depth: 2, put: 2, delivered: 0 });
  assert.ok(oldestAgeMs >= 0 && oldestAgeMs < 60_000);
});

test("begins with a sample at once, and with none where the file cannot be read or nobody publishes", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  const stop = new AbortController();
  const read = () => main.publisher.status();
  assert.equal(History.of(read, stop.signal).samples.length, 1);
  const failing = History.of(() => {
    throw new Error("the file is gone");
  }, stop.signal);
  assert.deepEqual(failing.samples, []);
  stop.abort();
  assert.deepEqual(History.of(read, stop.signal).samples, []);
});

function chart(points: readonly Point[]): string {
  return String(sparkline(points, { label: "Depth", format: (value) => `${value} events` }));
}

function linesOf(svg: string): string[] {
  return Array.from(svg.matchAll(/class="line" d="([^"]+)"/g), ([, line]) => line!);
}

test("draws the newest point at the right, and the peak at the top", () => {
  const svg = chart([
    { atMs: 0, value: 0 },
    { atMs: 5_000, value: 10 },
    { atMs: 10_000, value: 5 },
  ]);
  assert.deepEqual(linesOf(svg), ["M296.7 53.0L298.3 3.0L300.0 28.0"]);
});

test("puts the oldest of fifteen minutes at the left", () => {
  const points = Array.from({ length: 181 }, (_, index) => ({ atMs: index * 5_000, value: 1 }));
  assert.match(linesOf(chart(points))[0]!, /^M0\.0 3\.0L1\.7 3\.0.*L300\.0 3\.0$/);
});

test("says in words what it shows", () => {
  const points = [
    { atMs: 0, value: 3 },
    { atMs: 5_000, value: 7 },
  ];
  assert.match(chart(points), /role="img" aria-label="Depth in the last 15 minutes: at most 7 events"/);
  assert.match(chart([]), /aria-label="Depth in the last 15 minutes: not known yet"/);
});

test("leaves a gap where nothing is known, and draws no line for one point or none", () => {
  const svg = chart([0, 5_000, 60_000, 65_000].map((atMs) => ({ atMs, value: 0 })));
  assert.equal(linesOf(svg).length, 2);
  assert.deepEqual(linesOf(chart([{ atMs: 0, value: 1 }])), []);
  assert.deepEqual(linesOf(chart([])), []);
});

test("draws a line along the bottom where all is zero", () => {
  const points = [0, 5_000].map((atMs) => ({ atMs, value: 0 }));
  assert.deepEqual(linesOf(chart(points)), ["M298.3 53.0L300.0 53.0"]);
});

test("shows the peak as soon as there is a value, and no peak before", () => {
  assert.match(chart([{ atMs: 0, value: 7 }]), /15-min peak 7 events/);
  assert.doesNotMatch(chart([]), /peak/);
});
