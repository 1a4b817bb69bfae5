import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatCount,
  formatRate,
  formatShare,
  plural,
  timeOf,
} from "../../../../src/admin/dashboard/markup.ts";

test("writes counts and rates for people", () => {
  assert.deepEqual([0, 999, 1_234_567].map(formatCount), ["0", "999", "1,234,567"]);
  assert.deepEqual([0, 0.04, 9.94, 10, 1_234.5].map(formatRate), ["0", "0.0", "9.9", "10", "1,235"]);
  assert.deepEqual(
    [plural(0, "event"), plural(1, "event"), plural(2_000, "event")],
    ["0 events", "1 event", "2,000 events"],
  );
});

test("never rounds a share up to full, or down to empty", () => {
  assert.deepEqual([0, 0.0001, 0.5, 0.9999, 1].map(formatShare), ["0 %", "< 1 %", "50 %", "99 %", "100 %"]);
});

test("writes a time in UTC, for a script to show otherwise", () => {
  const time = String(timeOf(Date.UTC(2026, 10, 25, 10, 31, 5, 123)));
  assert.equal(time, '<time datetime="2026-11-25T10:31:05.123Z">2026-11-25 10:31:05 UTC</time>');
});
