import assert from "node:assert/strict";
import { Agent, request as httpRequest } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type CollectorOptions, collector } from "../../../src/collector/app.ts";
import type { AcceptedBatch } from "../../../src/collector/sinks/sink.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { serveApp } from "../../../src/server/serve.ts";
import { memorySink, type StoredBatch } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { originalKeys, originalRequests } from "../../support/original_requests.ts";
import { signatureOf, signedHeaders } from "../../support/signed.ts";

const SECRET = Buffer.from("secret");
const QUEUE = "0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e";

function storingCollector(options: Partial<CollectorOptions> = {}) {
  const stored: StoredBatch[] = [];
  return { stored, app: collector({ keys: new Map([["k", SECRET]]), sink: memorySink(stored), ...options }) };
}

function sign(body: string | Uint8Array, keyName = "k", secret: Uint8Array = SECRET): string {
  return signatureOf(body, { name: keyName, secret });
}

function signed(body: string | Uint8Array, headers: Record<string, string> = {}): RequestInit {
  return { method: "POST", body, headers: { "X-Signature": sign(body), ...headers } } as RequestInit;
}

function gzipped(body: string | Uint8Array, headers: Record<string, string> = {}): RequestInit {
  const init = signed(body, { "Content-Encoding": "gzip", ...headers });
  return { ...init, body: gzipSync(body) as Uint8Array<ArrayBuffer> };
}

const garbage = originalRequests.filter(({ name }) => name.includes("garbage"));
const valid = originalRequests.filter(({ name }) => !name.includes("garbage"));

/** Recorded events of version 2 that are not Thrift structs: they pad a batch to a size, `{"id":0,"p":"xx"}`. */
const isPadded = (event: Buffer): boolean => event.subarray(0, 5).toString() === '{"id"';

test("every valid request of an unmodified baseplate.py publisher is accepted", async () => {
  const { app, stored } = storingCollector({ keys: originalKeys, checkStructs: false });
  for (const { name, path, headers, body, events } of valid) {
    const answer = await app.request(path, { method: "POST", headers, body: gzipSync(body) } as RequestInit);
    assert.equal(answer.status, 200, name);
    assert.deepEqual(await answer.json(), { accepted: events.length, duplicates: 0 }, name);
    assert.deepEqual(stored.pop()?.events, events.map(String), name);
  }
});

test("recorded events that are not Thrift structs are rejected by index, and the others are stored", async () => {
  const { app, stored } = storingCollector({ keys: originalKeys });
  let rejectedCount = 0;
  for (const { name, version, path, headers, body, events } of valid) {
    const answer = await app.request(path, { method: "POST", headers, body: gzipSync(body) } as RequestInit);
    const { accepted, rejected = [] } = (await answer.json()) as {
      accepted: number;
      rejected?: { index: number }[];
    };
    const isGood = (event: Buffer): boolean => version !== "2" || !isPadded(event);
    const bad = events.flatMap((event, index) => (isGood(event) ? [] : [index]));
    assert.deepEqual(
      [answer.status, rejected.map(({ index }) => index)],
      [bad.length > 0 ? 422 : 200, bad],
      name,
    );
    assert.equal(accepted, events.length - bad.length, name);
    assert.deepEqual(stored.pop()?.events ?? [], events.filter(isGood).map(String), name);
    rejectedCount += bad.length;
  }
  assert.equal(rejectedCount, 6);
});

test("a signed batch whose events are not JSON is rejected", async () => {
  assert.equal(garbage.length, 2);
  const { app, stored } = storingCollector({ keys: originalKeys });
  for (const { path, headers, body } of garbage) {
    const answer = await app.request(path, { method: "POST", headers, body: gzipSync(body) } as RequestInit);
    assert.equal(answer.status, 400);
    assert.deepEqual(await answer.json(), { error: "The body is not JSON in UTF-8.", code: "malformed" });
  }
  assert.deepEqual(stored, []);
});

test("the sink gets the version, the key and the Event-Ids", async () => {
  const { app, stored } = storingCollector();
  const ids = `${QUEUE}:1-2,7`;
  const body = '{"1":{"lst":["rec",3,{},{},{}]}}';
  await app.request("/v2", gzipped(body, signedHeaders(body, ids, { key: { name: "k", secret: SECRET } })));
  await app.request("/v2j", gzipped("[1]"));
  assert.deepEqual(stored, [
    { events: ["{}", "{}", "{}"], meta: { version: "2", keyName: "k", eventIds: ids } },
    { events: ["1"], meta: { version: "2j", keyName: "k", eventIds: undefined } },
  ]);
});

test("events with unusable Event-Ids are stored without ids", async () => {
  const status = new CollectorStatus();
  const { app, stored } = storingCollector({ status });
  const headers = ["", "x", `${QUEUE}:1`, `${QUEUE}:1-3`, `${QUEUE}:2,1`, `${QUEUE}:0-1`, "q".repeat(10_000)];
  for (const header of headers) {
    const headers = signedHeaders("[1,2]", header, { key: { name: "k", secret: SECRET } });
    const answer = await app.request("/v2j", gzipped("[1,2]", headers));
    assert.equal(answer.status, 200, header);
    assert.equal(stored.pop()?.meta.eventIds, undefined, header);
  }
  assert.deepEqual(status.ignoredIds, { malformed: headers.length, unsigned: 0, bad_mac: 0, clock: 0 });
});

test("a response names the events it is about, unless a proxy may have no room for such a header", async () => {
  const { app } = storingCollector();
  const many = Array.from({ length: 600 }, (_, n) => 2 * n + 1);
  for (const [ids, named] of [
    [[1, 5], `${QUEUE}:1,5`],
    [many, null],
  ] as const) {
    const body = JSON.stringify(ids);
    const headers = signedHeaders(body, `${QUEUE}:${ids}`, { key: { name: "k", secret: SECRET } });
    const response = await app.request("/v2j", gzipped(body, headers));
    assert.deepEqual(await response.json(), { accepted: ids.length, duplicates: 0 });
    assert.equal(response.headers.get("Event-Ids"), named);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
  }
});

test("an uncompressed body is accepted", async () => {
  const { app } = storingCollector();
  assert.equal((await app.request("/v2j", signed("[1]"))).status, 200);
  assert.equal((await app.request("/v2j", signed("[1]", { "Content-Encoding": "identity" }))).status, 200);
});

test("integers beyond 2^53 keep their digits", async () => {
  const { app, stored } = storingCollector();
  await app.request("/v2", gzipped('{"1":{"lst":["rec",1,{"1":{"i64":9223372036854775807}}]}}'));
  assert.deepEqual(stored[0]?.events, ['{"1":{"i64":9223372036854775807}}']);
});

test("a missing or malformed signature, an unknown key and a wrong MAC get a 403", async () => {
  const { app, stored } = storingCollector();
  const signatures = [
    "",
    "key=k",
    "key=k, mac=12",
    sign("[1]", "other"),
    sign("[2]"),
    sign("[1]", "k", Buffer.from("x")),
  ];
  for (const signature of signatures) {
    const answer = await app.request("/v2j", signed("[1]", { "X-Signature": signature }));
    assert.equal(answer.status, 403, signature);
    assert.equal(typeof ((await answer.json()) as { error: unknown }).error, "string");
  }
  assert.equal((await app.request("/v2j", { method: "POST", body: "[1]" })).status, 403);
  assert.deepEqual(stored, []);
});

test("an unknown key and a wrong MAC get the same response", async () => {
  const { app } = storingCollector();
  const unknownKey = await app.request("/v2j", signed("[1]", { "X-Signature": sign("[1]", "other") }));
  const wrongMac = await app.request("/v2j", signed("[1]", { "X-Signature": sign("[2]") }));
  assert.equal(await unknownKey.text(), await wrongMac.text());
});

test("the name of a key may hold a comma", async () => {
  const { app } = storingCollector({ keys: new Map([["a, mac=b", SECRET]]) });
  const answer = await app.request("/v2j", signed("[1]", { "X-Signature": sign("[1]", "a, mac=b") }));
  assert.equal(answer.status, 200);
});

test("a body that is not what its headers say gets a 400", async () => {
  const { app } = storingCollector();
  const gzip = { "Content-Encoding": "gzip" };
  const torn = gzipped("[1]");
  const requests: [string, RequestInit][] = [
    ["/v2j", signed("[1]", gzip)],
    ["/v2j", signed("", gzip)],
    ["/v2j", { ...torn, body: (torn.body as Uint8Array<ArrayBuffer>).subarray(0, -4) }],
    ["/v2j", gzipped("[1")],
    ["/v2j", gzipped('{"1":{"lst":["rec",1,{}]}}')],
    ["/v2", gzipped("[1]")],
    ["/v2", gzipped('{"1":{"lst":["rec",2,{}]}}')],
  ];
  for (const [path, init] of requests)
    assert.equal((await app.request(path, init)).status, 400, String(init.body));
});

test("gzip is accepted by both its names, in any case; other encodings get a 415", async () => {
  const { app } = storingCollector();
  for (const encoding of ["x-gzip", "GZIP", "X-Gzip", "gzip, identity", " gzip "])
    assert.equal((await app.request("/v2j", gzipped("[1]", { "Content-Encoding": encoding }))).status, 200);
  for (const encoding of ["br", "deflate", "gzip, gzip", "gzip, br"])
    assert.equal((await app.request("/v2j", gzipped("[1]", { "Content-Encoding": encoding }))).status, 415);
});

test("takes zstd, says so in each response, and answers 413 and 400 to what is too large and what is not zstd", async () => {
  const { app } = storingCollector();
  const zstd = (body: string, compressed = zstdCompressSync(body)) => ({
    ...signed(body, { "Content-Encoding": "zstd" }),
    body: new Uint8Array(compressed),
  });
  const { status, headers } = await app.request("/v2j", zstd(`["${"x".repeat(9_000)}"]`));
  assert.deepEqual([status, headers.get("Accept-Encoding")], [200, "zstd, gzip"]);
  assert.equal((await app.request("/v2j", zstd(`["${"x".repeat(600_000)}"]`))).status, 413);
  assert.equal((await app.request("/v2j", zstd("[1]", gzipSync("[1]")))).status, 400);
  const cut = zstdCompressSync(crypto.getRandomValues(new Uint8Array(9_000))).subarray(0, 5_000);
  assert.notEqual((await app.request("/v2j", zstd("[1]", cut))).status, 200);
});

test("paths with a slash at the end work", async () => {
  const { app } = storingCollector();
  assert.equal((await app.request("/v2j/", gzipped("[1]"))).status, 200);
  for (const path of ["/livez/", "/readyz/"]) assert.equal((await app.request(path)).status, 200);
  assert.equal((await app.request("/readyz", { method: "HEAD" })).status, 200);
});

test("512,000 bytes are accepted, and one more gets a 413, compressed or not", async () => {
  const { app } = storingCollector();
  const event = `"${"x".repeat(50_000)}",`;
  const fits = `[${event.repeat(10)}"${"x".repeat(11_966)}"]`;
  const tooLong = fits.replace("x", "xx");
  assert.equal(fits.length, 512_000);
  assert.equal((await app.request("/v2j", gzipped(fits))).status, 200);
  assert.equal((await app.request("/v2j", signed(fits))).status, 200);
  assert.equal((await app.request("/v2j", gzipped(tooLong))).status, 413);
  assert.equal((await app.request("/v2j", signed(tooLong))).status, 413);
});

test("reading an endless body stops at the limit", async () => {
  const { app } = storingCollector({ maxBodyBytes: 1_000 });
  let pulls = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulls++;
      controller.enqueue(new Uint8Array(500));
    },
  });
  const init = { method: "POST", body, duplex: "half", headers: { "X-Signature": sign("") } } as RequestInit;
  assert.equal((await app.request("/v2j", init)).status, 413);
  assert.ok(pulls < 10, `${pulls} chunks were read`);
});

test("decompressing a gzip bomb stops at the limit", async () => {
  const { app } = storingCollector();
  const answer = await app.request("/v2j", gzipped(Buffer.alloc(100_000_000)));
  assert.equal(answer.status, 413);
});

test("events that the sink rejects are listed with the other rejected events", async () => {
  const sink = {
    store: async ({ events }: AcceptedBatch) => {
      const all = Array.from({ length: events.count }, (_, index) => events.text(index));
      const rejected = all.flatMap((text, index) =>
        text.includes("large") ? [{ index, error: "too large" }] : [],
      );
      return { stored: all.length - rejected.length, duplicates: 0, rejected };
    },
  };
  const validate = (event: unknown) => (typeof event === "number" ? "a number" : undefined);
  const { app } = storingCollector({ sink, validate });
  const answer = await app.request("/v2j", signed('[1,{"a":1},{"b":"large"},2,{"c":"large"}]'));
  const { accepted, rejected } = (await answer.json()) as { accepted: number; rejected: { index: number }[] };
  assert.equal(answer.status, 422);
  assert.deepEqual([accepted, rejected.map(({ index }) => index)], [1, [0, 2, 3, 4]]);
});

test("a failure of the sink gets a 503, so that the batch is sent again", async () => {
  const sink = { store: () => Promise.reject(new Error("disk full at /secret/path")) };
  const { app } = storingCollector({ sink });
  const answer = await app.request("/v2j", gzipped("[1]"));
  assert.equal(answer.status, 503);
  assert.deepEqual(await answer.json(), { error: "The events were not stored. Send them again." });
});

test("other paths get a 404, and other methods a 405", async () => {
  const { app } = storingCollector();
  assert.equal((await app.request("/v1", gzipped("[1]"))).status, 404);
  const answer = await app.request("/v2");
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.get("allow"), "POST");
});

/** How long @hono/node-server takes the rest of a request, in milliseconds: a busy machine may not have sent it by then. */
const DRAIN_MS = 500;

/** Sends 3 MB to a served collector, and resolves with the status of the response. */
function sendLong(port: number, signature: string, agent: Agent): Promise<number> {
  const headers = { "X-Signature": signature };
  const request = httpRequest({ port, method: "POST", path: "/v2j", headers, agent });
  const status = new Promise<number>((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => {
      text(response).catch(() => {}); // it may be cut at the end of the test
      resolve(response.statusCode ?? 0);
    });
  });
  request.end(Buffer.alloc(3_000_000));
  return status;
}

for (const [expected, what, signature, options] of [
  [413, "it is too long", sign(""), {}],
  [403, "its key is unknown", sign("", "nobody"), {}],
  [503, "the collector is overloaded", sign(""), { maxRequests: 0 }],
] as const) {
  test(`a client that is still sending gets the response that ${what}, five times in a row`, {
    timeout: 300_000,
  }, async () => {
    const { app } = storingCollector(options);
    const served = await serveApp(app, { host: "127.0.0.1", port: 0 });
    const agent = new Agent({ keepAlive: true });
    for (let time = 0; time < 5; time++) {
      const status = await eventually("a response", async () => {
        const startedAtMs = performance.now();
        return await sendLong(served.port!, signature, agent).catch((error) => {
          if (performance.now() - startedAtMs < DRAIN_MS) throw error;
        });
      });
      assert.equal(status, expected);
    }
    agent.destroy();
    await served.close();
  });
}
