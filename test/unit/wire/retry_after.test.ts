import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter, RETRY_AFTER_MAX_MS } from "../../../src/wire/retry_after.ts";
import fc from "../../support/fast_check.ts";

const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);

test("parses Retry-After in seconds", () => {
  assert.equal(parseRetryAfter("0", NOW_MS), 0);
  assert.equal(parseRetryAfter("120", NOW_MS), 120_000);
  assert.equal(parseRetryAfter(" 007 ", NOW_MS), 7_000);
});

for (const [form, date] of [
  ["IMF-fixdate", "Mon, 23 Nov 2026 12:01:30 GMT"],
  ["the obsolete RFC 850 format", "Monday, 23-Nov-26 12:01:30 GMT"],
  ["asctime's format", "Mon Nov 23 12:01:30 2026"],
] as const) {
  test(`parses Retry-After as a date in ${form}`, () => {
    assert.equal(parseRetryAfter(date, NOW_MS), 90_000);
  });
}

test("parses an asctime date with a day of one digit", () => {
  assert.equal(parseRetryAfter("Sun Nov  6 08:49:37 1994", Date.UTC(1994, 10, 6, 8, 49, 0)), 37_000);
});

test("does not wait for a date in the past", () => {
  assert.equal(parseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", NOW_MS), 0);
  assert.equal(parseRetryAfter("Sunday, 06-Nov-94 08:49:37 GMT", NOW_MS), 0);
  assert.equal(parseRetryAfter("Mon, 23 Nov 2026 12:00:00 GMT", NOW_MS), 0);
});

test("limits the wait to an hour", () => {
  for (const absurd of ["3601", "9".repeat(400), "Fri, 31 Dec 9999 23:59:59 GMT"])
    assert.equal(parseRetryAfter(absurd, NOW_MS), RETRY_AFTER_MAX_MS, absurd);
  assert.equal(RETRY_AFTER_MAX_MS, 3_600_000);
});

for (const header of [
  null,
  "",
  " ",
  "-1",
  "+5",
  "5.5",
  "1e3",
  "0x10",
  "12 s",
  "１２",
  "soon",
  "NaN",
  "2026-11-23T12:01:30Z",
  "Mon, 23 Nov 2026 12:01:30",
  "Mon, 23 Nov 2026 12:01:30 PST",
  "Mon, 23 Foo 2026 12:01:30 GMT",
  "Mon, 23 Nov 2026 99:01:30 GMT",
]) {
  test(`ignores the Retry-After ${JSON.stringify(header)}`, () => {
    assert.equal(parseRetryAfter(header, NOW_MS), undefined);
  });
}

test("ignores any header, or waits from zero to an hour", () => {
  const header = fc.oneof(
    fc.string(),
    fc.integer().map(String),
    fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    fc.stringMatching(/^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/),
  );
  fc.assert(
    fc.property(header, fc.integer({ min: 0, max: 2 ** 45 }), (text, nowMs) => {
      const waitMs = parseRetryAfter(text, nowMs);
      assert.ok(waitMs === undefined || (waitMs >= 0 && waitMs <= RETRY_AFTER_MAX_MS), `${waitMs}`);
    }),
  );
});

test("parses every date that JavaScript formats", () => {
  const date = fc.date({ min: new Date(0), max: new Date("9999-12-31"), noInvalidDate: true });
  fc.assert(
    fc.property(date, (date) => {
      const inSeconds = Math.floor(date.getTime() / 1_000) * 1_000; // headers know no milliseconds
      assert.equal(parseRetryAfter(date.toUTCString(), inSeconds - 1_234), 1_234);
    }),
  );
});
