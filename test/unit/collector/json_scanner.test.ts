import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { JsonFault, skipSpace, skipValue } from "../../../src/collector/json_scanner.ts";

const RUNS = { numRuns: 2_000 };

/** Whether the scanner takes the text for one JSON value, with white space around. */
function isScanned(text: string): boolean {
  const body = Buffer.from(text);
  try {
    return skipSpace(body, skipValue(body, skipSpace(body, 0), 0)) === body.length;
  } catch (error) {
    assert.ok(error instanceof JsonFault, String((error as Error).stack));
    return false;
  }
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const indents = fc.constantFrom(undefined, 1, "\t");
const jsonTexts = fc
  .tuple(fc.jsonValue({ maxDepth: 5 }), indents)
  .map(([value, indent]) => JSON.stringify(value, null, indent));

/** Pieces of which JSON is made, and some of which it is not. */
const pieces = fc.constantFrom(
  ...'{}[],:"\\-+.eE0123 \n\t\r\0\x1f\x7f'.split(""),
  ...[
    "true",
    "false",
    "null",
    "tru",
    "NaN",
    "Infinity",
    "1e5",
    "-0",
    "01",
    "1.",
    ".5",
    "0x1",
    "1e",
    "1e+",
    "--1",
  ],
  ...[
    '""',
    '"a"',
    "\\u00e9",
    "\\ud800",
    "\\u12",
    "\\x",
    "'",
    "é",
    "\u2028",
    "\ufeff",
    "\u00a0",
    '"\\\\"',
    '{"a":1}',
  ],
);

test("takes every JSON text", () => {
  fc.assert(
    fc.property(jsonTexts, (text) => {
      assert.ok(isScanned(text), text);
    }),
    RUNS,
  );
});

test("takes the same texts as JSON.parse, whatever they are made of", () => {
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      assert.equal(isScanned(text), isParsed(text), JSON.stringify(text));
    }),
    RUNS,
  );
});

test("takes the same texts as JSON.parse when a JSON text is changed in one place", () => {
  fc.assert(
    fc.property(jsonTexts, fc.nat(), fc.nat(3), pieces, (json, place, cut, put) => {
      const at = place % (json.length + 1);
      const text = json.slice(0, at) + put + json.slice(at + cut);
      assert.equal(isScanned(text), isParsed(text), JSON.stringify(text));
    }),
    RUNS,
  );
});

for (const text of [
  ...["0", "-0", "1.5e-3", "1E400", "-", "00", "-01", "1.e5", "+1", "1_0", "1n", '"\\u00G0"', '"\n"', '"\t"'],
  ...[
    '"\x7f"',
    '"\\',
    '"\\u',
    '"',
    "[",
    "[1",
    "[1,",
    "[,1]",
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,}',
    "{,}",
  ],
  ...[
    '{"a":1,"a":2}',
    "{a:1}",
    "{1:1}",
    "[1 2]",
    "[1]]",
    "truee",
    "nul",
    "",
    " ",
    "[] []",
    "\u00a0[]",
    "[]\0",
  ],
]) {
  test(`takes ${JSON.stringify(text)} exactly if JSON.parse does`, () => {
    assert.equal(isScanned(text), isParsed(text));
  });
}

test("says at which byte a text is not JSON", () => {
  assert.throws(() => skipValue(Buffer.from('{"é":tru}'), 0, 0), { at: 6 });
});

test("ends at any bytes that are UTF-8, with a fault or a place within", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      if (!isUtf8(bytes)) return;
      try {
        assert.ok(skipValue(bytes, 0, 0) <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof JsonFault);
      }
    }),
    RUNS,
  );
});
