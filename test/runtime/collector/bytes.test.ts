import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { collector } from "../../../src/collector/app.ts";
import { JsonlSink } from "../../../src/collector/sinks/jsonl.ts";
import { SqliteSink } from "../../../src/collector/sinks/sqlite.ts";
import { memorySink } from "../../support/collector.ts";
import fc from "../../support/fast_check.ts";
import { KEY } from "../../support/keys.ts";
import { openShell } from "../../support/shell.ts";
import { signatureOf } from "../../support/signed.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const KEYS = new Map([[KEY.name, KEY.secret]]);
const LIMIT = { timeout: 300_000 };

function gzipped(body: Buffer): RequestInit {
  const headers = { "X-Signature": signatureOf(body), "Content-Encoding": "gzip" };
  return { method: "POST", body: new Uint8Array(gzipSync(body)), headers };
}

/** White space between tokens, as JSON allows it. */
const space = fc.constantFrom("", "", "", " ", "\t", "\r\n", "\n", "\n\n  ");

/** Pieces of a string that readers like to change: line ends of other standards, marks, escapes, halves of characters. */
const piece = fc.oneof(
  fc.constantFrom(
    "\u2028",
    "\u2029",
    "\u0085",
    "\ufeff",
    "\u007f",
    "\u00a0",
    "é",
    "e\u0301",
    "🙂",
    "\u{10ffff}",
    "\ufffd",
  ),
  fc.constantFrom(
    "\\ud800",
    "\\udc00\\ud800",
    "\\u0000",
    "\\u2028",
    "\\/",
    "\\\\",
    '\\"',
    "\\n",
    "\\u00E9",
    "\\ud83d\\ude42",
  ),
  fc.stringMatching(/^[a-z0-9 ]{0,5}$/),
);
const string = fc.array(piece, { maxLength: 6 }).map((pieces) => `"${pieces.join("")}"`);
const number = fc.constantFrom(
  "0",
  "-0",
  "-0.0",
  "1e999",
  "-1E+999",
  "1.10",
  "1E400",
  "9007199254740993",
  "9".repeat(400),
);

/** Valid JSON texts that a parser and a writer would not give back as they came: with duplicate keys, too. */
const { value: events } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    string,
    number,
    fc.constantFrom("true", "false", "null"),
    fc
      .tuple(fc.array(tie("value"), { maxLength: 4 }), space)
      .map(([items, gap]) => `[${gap}${items.join(`,${gap}`)}${gap}]`),
    fc
      .tuple(fc.array(fc.tuple(fc.oneof(string, fc.constant('"a"')), tie("value")), { maxLength: 4 }), space)
      .map(
        ([members, gap]) =>
          `{${gap}${members.map(([key, one]) => `${key}${gap}:${gap}${one}`).join(`${gap},`)}${gap}}`,
      ),
    fc.constantFrom(2, 480).map((depth) => '{"a":['.repeat(depth / 2) + "]}".repeat(depth / 2)),
  ),
}));

test("every valid event comes back byte for byte from each sink", LIMIT, async () => {
  using directory = temporaryDirectory();
  const [lines, table] = [join(directory.path, "e.jsonl"), join(directory.path, "e.db")];
  const jsonl = new JsonlSink(lines, { fsync: "never" });
  const sqlite = new SqliteSink(table, { fsync: "never" });
  const apps = [jsonl, sqlite].map((sink) => collector({ keys: KEYS, sink }));
  const sent: string[] = [];
  await fc.assert(
    fc.asyncProperty(fc.array(events, { maxLength: 5 }), space, async (batch, gap) => {
      const body = Buffer.from(`${gap}[${gap}${batch.join(`${gap},`)}${gap}]${gap}`);
      for (const app of apps) {
        const response = await app.request("/v2j", gzipped(body));
        assert.deepEqual(await response.json(), { accepted: batch.length, duplicates: 0 });
      }
      sent.push(...batch);
    }),
    { numRuns: 200 },
  );
  await Promise.all([jsonl.close(), sqlite.close()]);
  const asLine = (event: string): string => event.replaceAll("\n", " "); // white space between tokens
  assert.ok(readFileSync(lines).equals(Buffer.from(sent.map((event) => `${asLine(event)}\n`).join(""))));
  const db = openShell(table, { isReadOnly: true });
  const rows = db.prepareFirst<[], string>("SELECT hex(body) FROM event ORDER BY id").all();
  db.close();
  assert.deepEqual(
    rows,
    sent.map((event) => Buffer.from(event).toString("hex").toUpperCase()),
  );
});

/** Whether bytes are one JSON text in UTF-8, without a byte order mark. */
function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

/** Bytes that some readers accept: marks, NUL, overlong and cut sequences, surrogates in UTF-8, line ends in strings. */
const intruder = fc.constantFrom(
  ...[
    "efbbbf",
    "feff",
    "fffe",
    "00",
    "c080",
    "c2",
    "e28080",
    "eda080",
    "edb080",
    "f4908080",
    "ff",
    "80",
    "0a",
    "0d",
  ],
  ...["22", "2c", "5c", "e280a8", "c285", "2e", "65", "2d", "7b", "5d"],
);

test("a body with any other bytes in it is rejected exactly if it is not JSON in UTF-8", LIMIT, async () => {
  const app = collector({ keys: KEYS, sink: memorySink([]) });
  await fc.assert(
    fc.asyncProperty(events, intruder, fc.nat(), async (event, hex, place) => {
      const valid = Buffer.from(`[${event}]`);
      const at = place % (valid.length + 1);
      const body = Buffer.concat([valid.subarray(0, at), Buffer.from(hex, "hex"), valid.subarray(at)]);
      const { status } = await app.request("/v2j", gzipped(body));
      const isBatch = isJson(body) && Array.isArray(JSON.parse(body.toString()));
      assert.equal(status, isBatch ? 200 : 400, body.toString("hex"));
    }),
    { numRuns: 1_000 },
  );
});
