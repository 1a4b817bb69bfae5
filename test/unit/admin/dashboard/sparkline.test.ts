import assert from "node:assert/strict";
import { test } from "node:test";
import { type Point, sparkline } from "../../../../src/admin/dashboard/charts.ts";

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
