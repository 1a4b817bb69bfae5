import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { Spool } from "../../../support/spool.ts";
import { LIMIT, queue } from "./queue_support.ts";

/** JSON texts with white space around and in them, and with every character that ends lines elsewhere. */
const jsonLine = fc
  .tuple(
    fc.constantFrom("", " ", "\t", "\r"),
    fc.oneof(
      fc.json({ stringUnit: "binary" }),
      fc
        .string({ unit: fc.constantFrom("\u2028", "\u2029", "\u0085", "\u007f", "\ufeff", "é", "😀") })
        .map((text) => `{"a":"${text}"}`),
      fc.constantFrom('{"n":12345678901234567890.10,"n":1e400,"m":-0}', '{ "a" :\r[ 1 ,\t2 ] }', '"\\ud800"'),
    ),
    fc.constantFrom("", " ", "\r", "\t\r"),
  )
  .map((parts) => parts.join(""));

test("puts lines and drains them, byte for byte the same", LIMIT, async () => {
  using spool = new Spool();
  const input = Buffer.from(`${fc.sample(jsonLine, 400).join("\n")}\n`);
  assert.deepEqual(await queue(spool, ["put"], input), { code: 0, stdout: "400 events put.\n", stderr: "" });
  const file = join(spool.directory, "drained.jsonl");
  const { code, stderr } = await queue(spool, ["drain", "--to", file]);
  assert.equal(code, 0, stderr);
  assert.equal(Buffer.compare(readFileSync(file), input), 0);
});

test("rejects a line that a collector would reject, and says why", LIMIT, async () => {
  const deep = "[".repeat(513) + "]".repeat(513);
  const lines: [line: string | Uint8Array, problem: RegExp][] = [
    ["\ufeff{}", /begins with a byte order mark/],
    [Buffer.from('{"a":"\xff"}', "latin1"), /not UTF-8/],
    ["\v{}", /not JSON/],
    [deep, /nests deeper than 512/],
  ];
  using spool = new Spool();
  for (const [line, problem] of lines) {
    const input = Buffer.concat([
      Buffer.from('{"a":"[{"}\r\n\n'),
      Buffer.from(line),
      Buffer.from('\n{"b":2}'),
    ]);
    const { code, stdout, stderr } = await queue(spool, ["put"], input);
    assert.deepEqual([code, stdout], [1, "1 event put.\n"]);
    assert.match(stderr, problem);
    assert.match(stderr, /^Line 3: .* Continue from this line\.$/m);
  }
  assert.equal(spool.queue.depth(), lines.length);
});
