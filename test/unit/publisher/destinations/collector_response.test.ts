import assert from "node:assert/strict";
import { test } from "node:test";
import { collectorOutcome } from "../../../../src/publisher/destinations/collector.ts";
import type { Outcome } from "../../../../src/publisher/destinations/destination.ts";
import type { SentEvents } from "../../../../src/publisher/destinations/http.ts";
import { KEPT_RESPONSE_CHARS } from "../../../../src/publisher/destinations/http_response.ts";
import { queueUuid } from "../../../support/batches.ts";

/** Three events. */
const SENT = {
  queueUuid: queueUuid(1),
  ranges: [{ firstId: 101, lastId: 103 }],
  count: 3,
  single: undefined,
};
const ONE = {
  queueUuid: queueUuid(1),
  ranges: [{ firstId: 7, lastId: 7 }],
  count: 1,
  single: Buffer.from('{"id":7}'),
};

function outcome(
  status: number,
  {
    retryAfter = null as string | null,
    text = "",
    contentType = "",
    contentEncoding = "",
    isCut = false,
    eventIds = undefined as string | undefined,
    isCached = false,
    sent = SENT as SentEvents,
    isAccounted = false,
  } = {},
) {
  const response = {
    status,
    contentType,
    contentEncoding,
    acceptEncoding: undefined,
    retryAfter,
    text,
    isCut,
    eventIds,
    isCached,
  };
  return collectorOutcome(response, sent, isAccounted);
}

for (const status of [200, 201, 202, 204, 299]) {
  test(`takes ${status} for delivered`, () => {
    assert.deepEqual(outcome(status, { text: "whatever" }), { kind: "accepted" });
  });
}

test("takes a silent 2xx for another server's, once the collector has accounted for a batch", () => {
  for (const [status, text] of [
    [200, ""],
    [204, ""],
    [200, "We are back soon."],
  ] as const)
    assert.equal(outcome(status, { text, isAccounted: true }).kind, "misconfigured", `${status} ${text}`);
  assert.deepEqual(outcome(200, { text: '{"accepted":3,"duplicates":0}', isAccounted: true }), {
    kind: "accepted",
    duplicates: 0,
  });
});

test("takes a response to other events, or from a cache, for none of the collector's", () => {
  const text = '{"accepted":3,"duplicates":0}';
  const ids = `${queueUuid(1)}:101-103`;
  assert.equal(outcome(200, { text, eventIds: ids }).kind, "accepted");
  assert.equal(outcome(200, { text, isCached: true }).kind, "misconfigured");
  for (const [status, said] of [
    [200, text],
    [422, '{"error":"1 event","accepted":2,"duplicates":0,"rejected":[{"index":0,"error":"bad"}]}'],
  ] as const)
    for (const other of [`${queueUuid(2)}:101-103`, `${queueUuid(1)}:101-102`, ""])
      assert.equal(
        outcome(status, { text: said, eventIds: other }).kind,
        "misconfigured",
        `${status} ${other}`,
      );
});

for (const status of [408, 425, 429, 500, 502, 503, 504, 507, 599]) {
  test(`takes ${status} for a collector that cannot take events now`, () => {
    const reason = `the destination responded with ${status}`;
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
      reason: `the destination responded with ${status}`,
    });
  });
}

for (const status of [400, 413, 422]) {
  test(`takes ${status} for a rejection of these events`, () => {
    assert.deepEqual(outcome(status, { text: "no noun" }), { kind: "rejected", status, response: "no noun" });
  });
}

test("gives the answer as the reason", () => {
  assert.deepEqual(outcome(503, { text: "over quota" }), {
    kind: "unavailable",
    reason: "the destination responded with 503: over quota",
  });
  assert.deepEqual(outcome(403, { text: "wrong MAC" }), {
    kind: "misconfigured",
    reason: "the destination responded with 403: wrong MAC",
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
    reason: "the destination responded with 429",
  });
});

const NAMED = { accepted: 2, rejected: [{ index: 1, error: "no noun" }] };

test("takes a 422 that accounts for each event for an outcome of each", () => {
  assert.deepEqual(outcome(422, { text: JSON.stringify(NAMED) }), {
    kind: "partial",
    rejected: [{ id: 102, status: 422, response: "no noun" }],
    undelivered: [],
  });
});

test("knows an event by its index also where rows of the batch were deleted by hand", () => {
  const ranges = [
    { firstId: 101, lastId: 101 },
    { firstId: 103, lastId: 104 },
  ];
  const found = outcome(422, { text: JSON.stringify(NAMED), sent: { ...SENT, ranges } });
  assert.deepEqual(
    (found as { rejected?: { id: number }[] }).rejected?.map(({ id }) => id),
    [103],
  );
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
  assert.equal(rejected[0]?.response.length, KEPT_RESPONSE_CHARS);
});

for (const [text, duplicates] of [
  ['{"accepted":3,"duplicates":0}', 0],
  ['{"accepted":3,"duplicates":2}', 2],
] as const)
  test(`tells how many events the collector had already: ${duplicates}`, () => {
    assert.deepEqual(outcome(200, { text }), { kind: "accepted", duplicates });
  });

test("tells the duplicates of a batch that is accepted in part", () => {
  const text = JSON.stringify({ ...NAMED, duplicates: 1 });
  assert.equal((outcome(422, { text }) as { duplicates?: number }).duplicates, 1);
});

const PAGE = "<!DOCTYPE html>\n<html><body>It works!</body></html>";
const PAGES = [
  { text: PAGE, contentType: "text/html" },
  { text: "", contentType: "text/html; charset=utf-8" },
  { text: "\ufeff\n  <html>", contentType: "" },
  { text: "<p>Welcome", contentType: "application/octet-stream" },
  { text: "", contentType: "application/xhtml+xml" },
];
for (const page of PAGES)
  test(`takes no web page for an acceptance or a verdict: ${JSON.stringify(page)}`, () => {
    for (const status of [200, 201, 202, 400, 422]) {
      for (const sent of [SENT, ONE]) assert.equal(outcome(status, { ...page, sent }).kind, "misconfigured");
    }
    assert.equal(outcome(503, page).kind, "unavailable");
  });

const FOREIGN = [
  { what: "what nobody asked to be compressed", contentEncoding: "gzip", text: "\u001f\ufffd" },
  { what: "a picture", contentType: "image/png", text: "PNG" },
  { what: "a script", contentType: "text/javascript", text: "reload()" },
  { what: "a page in UTF-16", text: "<\0h\0t\0m\0l\0>\0" },
  { what: "Go's plain HTTP to a TLS port", text: "Client sent an HTTP request to an HTTPS server.\n" },
];
for (const { what, ...response } of FOREIGN)
  test(`takes no ${what} for an acceptance or a verdict`, () => {
    for (const status of [200, 202, 400, 422])
      for (const sent of [SENT, ONE])
        assert.equal(outcome(status, { ...response, sent }).kind, "misconfigured");
  });

test("finds a page behind a warning, and lets JSON quote one", () => {
  const text = "Warning: no database\n<html><body>Welcome</body></html>";
  assert.equal(outcome(200, { text }).kind, "misconfigured");
  const quoting = { accepted: 2, rejected: [{ index: 1, error: "no noun <html>" }] };
  assert.equal(outcome(200, { text: JSON.stringify(quoting) }).kind, "partial");
});

for (const status of [205, 206, 207, 208, 226])
  test(`takes ${status}, which is no answer to a batch, for a wrong configuration`, () => {
    assert.equal(outcome(status).kind, "misconfigured");
  });

test("learns a size from a proxy's 413, and never makes a dead letter of it", () => {
  const page = { text: PAGE, contentType: "text/html" };
  assert.equal(outcome(413, page).kind, "rejected", "the batch is halved");
  assert.equal(outcome(413, { ...page, sent: ONE }).kind, "misconfigured");
});

for (const text of [
  '{"accepted":2}',
  '{"accepted":0}',
  '{"accepted":4}',
  '{"accepted":3',
  '{"error":"x"}',
  '{"errors":[{"message":"x"}]}',
  '{"ok":false}',
  '{"success":false}',
  '{"status":"error"}',
  '{"status":503}',
  "false",
  '["a","list"]',
  "error: no backend",
])
  test(`takes no 200 for an acceptance that says ${text} of three events`, () => {
    assert.equal(outcome(200, { text, contentType: "application/json" }).kind, "misconfigured");
  });

for (const text of [
  "",
  "OK",
  "accepted",
  '{"status":"ok"}',
  '{"status":200,"error":null,"errors":[]}',
  "true",
  "[]",
])
  test(`takes a 200 for an acceptance that says ${JSON.stringify(text)}, as other collectors do`, () => {
    assert.deepEqual(outcome(200, { text }), { kind: "accepted" });
  });

test("takes a 200 that names rejected events at its word", () => {
  assert.deepEqual(
    outcome(200, { text: JSON.stringify(NAMED) }),
    outcome(422, { text: JSON.stringify(NAMED) }),
  );
});

test("sends again what was accepted in a response that was cut off", () => {
  const cut = outcome(200, { text: '{"acce', isCut: true });
  assert.deepEqual([cut.kind, (cut as { isTransport?: boolean }).isTransport], ["unavailable", true]);
});

test("makes no dead letter of sound JSON that a collector could not read: the request was damaged", () => {
  const text = '{"error":"The body is not gzip.","code":"malformed"}';
  assert.equal(outcome(400, { text, sent: ONE }).kind, "misconfigured");
  assert.equal(outcome(400, { text }).kind, "rejected", "one of several events may not be JSON");
  for (const single of [Buffer.from("{"), Buffer.from([0x22, 0xff, 0x22])])
    assert.equal(outcome(400, { text, sent: { ...ONE, single } }).kind, "rejected");
  assert.equal(outcome(400, { text: '{"error":"no noun"}', sent: ONE }).kind, "rejected");
});
