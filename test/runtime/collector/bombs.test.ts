import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { collector } from "../../../src/collector/app.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { memorySink, type StoredBatch } from "../../support/collector.ts";
import fc from "../../support/fast_check.ts";
import { KEY } from "../../support/keys.ts";
import { start } from "../../support/processes.ts";
import { signatureOf, signedBatch } from "../../support/signed.ts";

const KEYS = new Map([[KEY.name, KEY.secret]]);

// In a process of its own: Deno runs test files side by side in one, and the memory of all is measured.
test("many gzip bombs at once do not fill the memory", { timeout: 300_000 }, async () => {
  await using program = start("test/support/programs/gzip_bombs.ts");
  const grownMb = Number(await program.line(/^\d+$/));
  assert.equal(await program.ended, 0);
  assert.ok(grownMb < 200, `${grownMb} MB for bombs of 200 MB each`);
});

test("a gzip of several members is decompressed as a whole", async () => {
  const stored: StoredBatch[] = [];
  const app = collector({ keys: KEYS, sink: memorySink(stored), maxBodyBytes: 10 });
  const members = (...parts: string[]): RequestInit => ({
    ...signedBatch(parts.join("")),
    body: new Uint8Array(Buffer.concat(parts.map((part) => gzipSync(part)))),
  });
  assert.equal((await app.request("/v2j", members("[1,", "2]"))).status, 200);
  assert.deepEqual(stored[0]?.events, ["1", "2"]);
  assert.equal((await app.request("/v2j", members("[111111,", "2]"))).status, 200);
  assert.equal((await app.request("/v2j", members("[1111111,", "2]"))).status, 413);
});

/** Pieces of a signed body. */
const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json({ maxDepth: 8 }).map((json) => Buffer.from(`[${json},${json}]`)),
  fc
    .json({ maxDepth: 8 })
    .map((json) => Buffer.from(`{"1":{"lst":["rec",2,${json},{"1":{"str":${json}}}]}}`)),
  fc
    .constantFrom("[", '{"1":', '{"1":{"lst":["rec",1,', '{"1":{"rec":')
    .map((open) => Buffer.from(open.repeat(5_000))),
  fc
    .constantFrom(
      "1e999",
      "-1e-999",
      "9".repeat(5_000),
      `0.${"1".repeat(5_000)}`,
      '"\\ud800"',
      '"\\u0000"',
      '"\0"',
    )
    .map((value) => Buffer.from(`[${value},{"a":${value},"a":${value}}]`)),
);

test("only valid JSON is stored, byte for byte, and every event is accounted for", {
  timeout: 300_000,
}, async () => {
  const stored: StoredBatch[] = [];
  const status = new CollectorStatus();
  const app = collector({ keys: KEYS, sink: memorySink(stored), status, v1: true });
  await fc.assert(
    fc.asyncProperty(bodies, fc.constantFrom("1", "2", "2j"), async (body, version) => {
      stored.length = 0;
      const response = await app.request(`/v${version}`, signedBatch(body));
      assert.ok([200, 400, 422].includes(response.status), String(response.status));
      const answer = (await response.json()) as { accepted?: number; rejected?: unknown[] };
      const events = stored.flatMap((batch) => batch.events);
      assert.equal(events.length, answer.accepted ?? 0);
      for (const event of events) {
        JSON.parse(event);
        assert.ok(body.includes(event));
      }
      if (response.status === 400) return;
      const parsed = JSON.parse(body.toString()) as unknown[] | { "1": { lst: unknown[] } };
      const count = Array.isArray(parsed) ? parsed.length : parsed["1"].lst.length - 2;
      assert.equal(events.length + (answer.rejected?.length ?? 0), count);
      assert.deepEqual([status.pendingRequests, status.pendingBytes], [0, 0]);
    }),
    { numRuns: 500 },
  );
});

test("a gzip that is cut anywhere gets a 400", async () => {
  const app = collector({ keys: KEYS, sink: memorySink([]) });
  const text = JSON.stringify(Array.from({ length: 50 }, (_, id) => ({ id })));
  const whole = gzipSync(text);
  const headers = { "X-Signature": signatureOf(text), "Content-Encoding": "gzip" };
  for (let length = 0; length < whole.length; length++) {
    const body = new Uint8Array(whole.subarray(0, length));
    const { status } = await app.request("/v2j", { method: "POST", body, headers });
    assert.equal(status, 400, `cut at ${length}`);
  }
});
