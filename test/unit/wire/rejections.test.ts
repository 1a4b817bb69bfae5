import assert from "node:assert/strict";
import { test } from "node:test";
import { Rejections } from "../../../src/collector/batch_parser.ts";
import {
  type BatchReport,
  errorOf,
  formatReport,
  MAX_REJECTION_CHARS,
  MAX_RESPONSE_BYTES,
  readReport,
  saysFailure,
} from "../../../src/wire/rejections.ts";
import fc from "../../support/fast_check.ts";

test("parses what it formats, whichever events are rejected", () => {
  const report = fc
    .record({ count: fc.integer({ min: 1, max: 50 }), picks: fc.uniqueArray(fc.nat(49)), error: fc.string() })
    .map(({ count, picks, error }): BatchReport & { count: number } => {
      const rejected = picks.filter((index) => index < count).sort((a, b) => a - b);
      const accepted = count - rejected.length;
      return { count, accepted, duplicates: accepted, rejected: rejected.map((index) => ({ index, error })) };
    });
  fc.assert(
    fc.property(report, ({ count, ...report }) => {
      assert.deepEqual(readReport(formatReport(report), count), report);
    }),
  );
});

test("says how many of all events are rejected, and the first of them", () => {
  const report = {
    accepted: 3,
    rejected: [
      { index: 1, error: "why" },
      { index: 4, error: "no" },
    ],
  };
  assert.equal(errorOf(report), "2 of 5 events are rejected, event 1 first: why");
  assert.equal(errorOf({ accepted: 3 }), "no event is rejected");
});

test("parses the longest report of a collector completely", () => {
  for (const error of ["x", "\u0000".repeat(500), "😀".repeat(500)]) {
    const rejections = new Rejections();
    let count = 0;
    try {
      for (;;) rejections.add(count++, error);
    } catch (full) {
      assert.equal((full as { status?: number }).status, 422);
    }
    const rejected = rejections.list();
    assert.ok(rejected.length > 10 && rejected[0]!.error.length <= MAX_REJECTION_CHARS);
    const text = formatReport({ accepted: 0, rejected });
    assert.ok(Buffer.byteLength(text) <= MAX_RESPONSE_BYTES, `${Buffer.byteLength(text)} bytes`);
    assert.deepEqual((readReport(text, rejected.length) as BatchReport).rejected, rejected);
  }
});

for (const text of ["", "OK", "12", "[]", "null", '"accepted"', "{}", '{"status":"ok"}', '{"accepted":true}'])
  test(`treats ${JSON.stringify(text)} as silent about the events`, () => {
    assert.equal(readReport(text, 3), "silent");
  });

for (const text of [
  '{"accepted":2}',
  '{"accepted":4,"duplicates":0}',
  '{"accepted":"3"}',
  '{"accepted":false}',
  '{"accepted":null}',
  '{"accepted":3,"rejected":[{"index":0}]}',
  '{"rejected":[{"index":0}]}',
  '{"accepted":2,"rejected":[{"index":3}]}',
  '{"accepted":2,"rejected":[{"index":-1}]}',
  '{"accepted":2,"rejected":[{"index":0.5}]}',
  '{"accepted":2,"rejected":[{"index":"0"}]}',
  '{"accepted":2,"rejected":{"index":0}}',
  '{"accepted":1,"rejected":[{"index":1},{"index":1}]}',
  '{"error":"down for maintenance"}',
  '{"accepted":3',
])
  test(`treats ${text} of three events as contradictory`, () => {
    assert.equal(readReport(text, 3), "contradictory");
  });

test("lists rejected events in the order of the batch", () => {
  const rejected = [2, 0].map((index) => ({ index, error: "no" }));
  assert.deepEqual(
    (readReport(JSON.stringify({ accepted: 1, rejected }), 3) as BatchReport).rejected,
    rejected.toReversed(),
  );
});

test("knows a failure in the words of many APIs", () => {
  for (const text of [
    "false",
    '{"error":"no"}',
    '{"errors":["no"]}',
    '{"ok":false}',
    '{"success":false}',
    '{"status":"Failed"}',
    '{"status":400}',
    '{"code":413,"text":"too many"}',
    '{"result":"error"}',
    '{"FailedPutCount":1}',
    '{"kind":"x","insertErrors":[{"index":0}]}',
    '{"partial_success":{"rejected_log_records":"2"}}',
    '{"data":{"ok":3,"failures":1}}',
    '{"hasErrors":true}',
    '[{"status":202},{"status":429,"error":"slow down"}]',
    '{"success":true}\n{"success":false,"code":400}\n',
    '{"accepted":3',
    '{"offsets":[{"offset":7,"error_code":null},{"error_code":50002,"error":"full"}]}',
    '{"code":200,"status":[{"name":"orders","successful":2,"failed":1}]}',
    '{"successful_rows":2,"quarantined_rows":1}',
    '{"Status":"Fail","NumberFilteredRows":0}',
    '{"errcode":40001}',
    "0",
    "Error: quota exceeded",
  ])
    assert.ok(saysFailure(text), text);
  for (const text of [
    ...["", "no", "1", "null", "[]", "{}", '{"errors":[]}', '{"error":""}', '{"status":399}', "stored [3]"],
    ...[
      '{"code":0,"text":"Success"}',
      '{"errno":0,"errmsg":"ok"}',
      '{"failed":0}',
      '{"rejected":[]}',
      "[1,2]",
    ],
    ...[
      '{"referrers":2,"code":"OK"}',
      '{"hasErrors":false}',
      '[{"status":202}]',
      '{"success":true}\n\n{"success":true}',
    ],
    ...['{"error_code":200,"offset":7}', '{"offsets":[{"offset":7,"error_code":null,"error":null}]}'],
    ...['{"partialSuccess":{"errorMessage":"soon deprecated"}}', '{"data":{"item":{"error":"sent back"}}}'],
  ])
    assert.ok(!saysFailure(text), text);
});

test("ignores an impossible number of duplicates", () => {
  for (const duplicates of [-1, 4, 1.5, "1", null])
    assert.deepEqual(readReport(JSON.stringify({ accepted: 3, duplicates }), 3), {
      accepted: 3,
      rejected: [],
    });
});
