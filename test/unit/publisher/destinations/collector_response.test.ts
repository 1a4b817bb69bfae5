import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_ANSWER_BYTES } from "../../../../src/limits.ts";
import { outcomeOf } from "../../../../src/publisher/destinations/collector_response.ts";
import type { Outcome } from "../../../../src/publisher/destinations/destination.ts";

/** Three events. */
const SENT = { firstId: 101, lastId: 103, count: 3 };

function outcome(status: number, { retryAfter = null as string | null, text = "" } = {}) {
  return outcomeOf({ status, retryAfter, text }, SENT);
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
  test(`takes ${status} for a rejection of these events`, () => {
    assert.deepEqual(outcome(status, { text: "no noun" }), { kind: "rejected", status, answer: "no noun" });
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

const NAMED = { accepted: 2, rejected: [{ index: 1, error: "no noun" }] };

test("takes a 422 that accounts for each event for an outcome of each", () => {
  assert.deepEqual(outcome(422, { text: JSON.stringify(NAMED) }), {
    kind: "partial",
    rejected: [{ id: 102, status: 422, answer: "no noun" }],
    undelivered: [],
  });
});

test("knows no event by its index where rows of the batch were deleted by hand", () => {
  const answer = { status: 422, retryAfter: null, text: JSON.stringify(NAMED) };
  assert.equal(outcomeOf(answer, { firstId: 101, lastId: 104, count: 3 }).kind, "rejected");
});

test("takes a 422 that does not account for each event for a rejection of the batch: none may be lost", () => {
  const { rejected } = NAMED;
  const doubtful = [
    { rejected },
    { accepted: 3, rejected },
    { accepted: 1, rejected },
    { accepted: "2", rejected },
    { accepted: 3, rejected: [] },
    { accepted: 2, rejected: [null] },
    { accepted: 2, rejected: [{ index: 3 }] },
    { accepted: 2, rejected: [{ index: -1 }] },
    { accepted: 2, rejected: [{ index: "1" }] },
    { accepted: 2, rejected: [{ index: 0.5 }] },
    { accepted: 1, rejected: [{ index: 1 }, { index: 1 }] },
    { accepted: 2, rejected: { 0: { index: 1 } } },
    null,
  ];
  for (const text of [...doubtful.map((answer) => JSON.stringify(answer)), "", "no JSON", "["]) {
    assert.equal(outcome(422, { text }).kind, "rejected", text);
  }
  assert.equal(outcome(400, { text: JSON.stringify(NAMED) }).kind, "rejected");
});

test("keeps no more of a rejection than of any answer", () => {
  const text = JSON.stringify({ accepted: 2, rejected: [{ index: 0, error: "x".repeat(5_000) }] });
  const { rejected } = outcome(422, { text }) as Extract<Outcome, { kind: "partial" }>;
  assert.equal(rejected[0]?.answer.length, MAX_ANSWER_BYTES);
});
