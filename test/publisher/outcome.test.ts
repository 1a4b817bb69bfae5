import assert from "node:assert/strict";
import { test } from "node:test";
import { outcomeOf } from "../../src/publisher/outcome.ts";

function outcome(status: number, { retryAfter = null as string | null, text = "" } = {}) {
  return outcomeOf({ status, retryAfter, text });
}

for (const status of [200, 201, 202, 204, 299]) {
  test(`takes ${status} for delivered`, () => {
    assert.deepEqual(outcome(status, { text: "whatever" }), { kind: "accepted" });
  });
}

for (const status of [408, 425, 429, 500, 502, 503, 504, 507, 599]) {
  test(`takes ${status} for a collector that cannot take events now`, () => {
    const reason = `the collector answered ${status}`;
    assert.deepEqual(outcome(status), { kind: "unavailable", reason });
    assert.deepEqual(outcome(status, { retryAfter: "3" }), {
      kind: "unavailable",
      reason,
      retryAfterMs: 3_000,
    });
  });
}

for (const status of [301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 410, 415, 421, 431, 451]) {
  test(`takes ${status} for a wrong configuration: the events are not at fault`, () => {
    assert.deepEqual(outcome(status), {
      kind: "misconfigured",
      reason: `the collector answered ${status}`,
    });
  });
}

for (const status of [400, 413, 422]) {
  test(`takes ${status} for a refusal of these events`, () => {
    assert.deepEqual(outcome(status, { text: "no noun" }), { kind: "refused", status, answer: "no noun" });
  });
}

test("gives the answer as the reason", () => {
  assert.deepEqual(outcome(503, { text: "over quota" }), {
    kind: "unavailable",
    reason: "the collector answered 503: over quota",
  });
  assert.deepEqual(outcome(403, { text: "wrong MAC" }), {
    kind: "misconfigured",
    reason: "the collector answered 403: wrong MAC",
  });
});

test("reads a Retry-After that is a date by the clock on the wall", () => {
  const inTenMinutes = new Date(Date.now() + 600_000).toUTCString();
  const { retryAfterMs } = outcome(503, { retryAfter: inTenMinutes }) as { retryAfterMs?: number };
  assert.ok(retryAfterMs !== undefined && retryAfterMs > 500_000 && retryAfterMs <= 600_000);
});

test("passes over a Retry-After that makes no sense", () => {
  assert.deepEqual(outcome(429, { retryAfter: "-1" }), {
    kind: "unavailable",
    reason: "the collector answered 429",
  });
});
