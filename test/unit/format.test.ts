import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countOf,
  decodeBody,
  didYouMean,
  escapeControls,
  eventJson,
  formatDuration,
  formatSize,
  formatTable,
  oneLine,
} from "../../src/format.ts";
import fc from "../support/fast_check.ts";

test("shows durations in their two largest units", () => {
  const cases: [number | undefined, string][] = [
    [undefined, "-"],
    [-5_000, "0.0s"],
    [340, "0.3s"],
    [12_000, "12s"],
    [192_000, "3m 12s"],
    [3_600_000, "1h"],
    [90_061_000, "1d 1h"],
  ];
  for (const [ms, shown] of cases) assert.equal(formatDuration(ms), shown);
});

test("shows sizes in binary units", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [1_023, "1023 B"],
    [1_024, "1.0 KiB"],
    [1_300_000, "1.2 MiB"],
    [5e15, "4547.5 TiB"],
  ];
  for (const [bytes, shown] of cases) assert.equal(formatSize(bytes), shown);
});

test("aligns numbers on the right and words on the left", () => {
  assert.deepEqual(
    formatTable(
      ["NAME", "DEPTH"],
      [
        ["a", "10"],
        ["long", "9"],
      ],
    ),
    ["NAME  DEPTH", "a        10", "long      9"],
  );
});

test("shows no control characters, which could change the terminal", () => {
  assert.equal(oneLine("a\u001b[31mb\nc\u2028d"), String.raw`a\u001b[31mb c d`);
  assert.equal(oneLine("x".repeat(100), 10), "xxxxxxx...");
});

test("gives an event as it was put, digit for digit, or its bytes where it is not JSON", () => {
  assert.equal(
    eventJson({ id: 1 }, Buffer.from('{"n":9007199254740993}')),
    '{"id":1,"event":{"n":9007199254740993}}',
  );
  assert.equal(eventJson({ id: 1 }, Buffer.from([0xff])), '{"id":1,"event_base64":"/w=="}');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (body) => {
      const shown = JSON.parse(eventJson({ id: 1 }, body)) as { event_base64?: string };
      if (shown.event_base64 !== undefined)
        assert.deepEqual(new Uint8Array(Buffer.from(shown.event_base64, "base64")), body);
    }),
  );
});

test("puts any JSON on one line that means the same", () => {
  fc.assert(
    fc.property(fc.json(), fc.integer({ min: 0, max: 4 }), (json, indent) => {
      const pretty = JSON.stringify(JSON.parse(json), undefined, indent);
      const line = decodeBody(Buffer.from(pretty)).json!;
      assert.doesNotMatch(line, /[\r\n]/);
      assert.deepEqual(JSON.parse(line), JSON.parse(json));
    }),
  );
});

test("writes a count with its noun in the singular for one, and else in the plural", () => {
  assert.deepEqual(
    [0, 1, 2].map((count) => countOf(count, "event")),
    ["0 events", "1 event", "2 events"],
  );
});

test("shows characters that would turn, hide or move others as escapes, and keeps those that do not", () => {
  const shown = String.raw`a\u202eb\u0000c\u2066\u001b\u009b\u007f\ud800\u000a`;
  assert.equal(escapeControls("a\u202eb\u0000c\u2066\u001b\u009b\u007f\ud800\n"), shown);
  assert.equal(escapeControls("line\n\tline", "\n\t"), "line\n\tline");
  for (const text of ["Zoë 👩\u200d💻", "עברית", ""]) assert.equal(escapeControls(text), text);
});

test("keeps the meaning of a JSON text, whatever is in its strings", () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), (json) => {
      const escaped = escapeControls(decodeBody(Buffer.from(json)).json ?? "");
      assert.deepEqual(JSON.parse(escaped), JSON.parse(json));
      assert.doesNotMatch(escaped, /[\p{Cc}\p{Bidi_Control}]/u);
    }),
  );
});

test("didYouMean finds a word that is misspelt or begun", () => {
  const words = ["collector.hostname", "collector.scheme", "key.name"];
  assert.equal(didYouMean("colector.hostnam", words), "collector.hostname");
  assert.equal(didYouMean("keyname", words), "key.name");
  assert.equal(didYouMean("collector.host", words), "collector.hostname");
  assert.equal(didYouMean("something.else", words), undefined);
  assert.equal(didYouMean("col", words), undefined);
});
