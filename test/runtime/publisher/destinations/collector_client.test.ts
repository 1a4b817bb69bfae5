import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { MAX_ANSWER_BYTES } from "../../../../src/limits.ts";
import { CollectorClient } from "../../../../src/publisher/destinations/collector.ts";
import type { CollectorAnswer } from "../../../../src/publisher/destinations/collector_response.ts";
import { makePayload, type Payload } from "../../../../src/publisher/destinations/payload.ts";
import { rejectingUrl, serveHttp, serveTcp } from "../../../support/servers.ts";

const BODY = Buffer.from('[{"id":1}]');
const PAYLOAD: Payload = await makePayload(BODY, { name: "K", secret: Buffer.from("secret") });
const EVENT_IDS = "6f1d2c3e-0000-4000-8000-000000000001:1-2";
const NEVER = new AbortController().signal;

function post(
  url: string,
  { timeoutMs = 4_000, stop = NEVER, payload = PAYLOAD } = {},
): Promise<CollectorAnswer> {
  return new CollectorClient(`${url}/v2j`, timeoutMs).post(payload, EVENT_IDS, stop);
}

test("sends the payload and its headers as they are", async () => {
  await using server = await serveHttp((response) => response.end());

  await post(server.url);

  const [request] = server.requests;
  assert.deepEqual([request?.method, request?.path], ["POST", "/v2j"]);
  assert.deepEqual(new Uint8Array(request!.body), new Uint8Array(PAYLOAD.body));
  assert.deepEqual(gunzipSync(request!.body), BODY);
  for (const [name, value] of Object.entries({ ...PAYLOAD.headers, "Event-Ids": EVENT_IDS }))
    assert.equal(request!.headers[name.toLowerCase()], value, name);
});

test("tells the length of the body beforehand, as collectors before HTTP/1.1 chunks want it", async () => {
  await using server = await serveHttp((response) => response.end());
  await post(server.url);
  const { headers } = server.requests[0]!;
  assert.equal(headers["content-length"], String(PAYLOAD.body.length));
  assert.equal(headers["transfer-encoding"], undefined);
});

test("gives status, Retry-After and body of the answer", async () => {
  await using server = await serveHttp((response) =>
    response.writeHead(503, { "Retry-After": "7" }).end('{"error":"über quota"}'),
  );
  assert.deepEqual(await post(server.url), { status: 503, retryAfter: "7", text: '{"error":"über quota"}' });
});

test("gives an answer without a body, or without Retry-After", async () => {
  await using server = await serveHttp((response) => response.writeHead(204).end());
  assert.deepEqual(await post(server.url), { status: 204, retryAfter: null, text: "" });
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`takes a ${status} for the answer and does not follow it`, async () => {
    await using server = await serveHttp((response, { path }) =>
      response.writeHead(path === "/v2j" ? status : 200, { Location: "/login" }).end("moved"),
    );

    assert.deepEqual(await post(server.url), { status, retryAfter: null, text: "moved" });
    assert.equal(server.requests.length, 1);
  });
}

test("reads the beginning of an answer that never ends, and hangs up", async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await serveHttp((response) => {
    response.on("close", closed.resolve);
    writeForEver(response);
  });

  const { status, text } = await post(server.url);

  assert.deepEqual([status, text.length], [200, MAX_ANSWER_BYTES]);
  await closed.promise;
});

test("gives up on a collector that does not answer in time", async () => {
  await using server = await serveHttp(() => {});
  await assert.rejects(post(server.url, { timeoutMs: 100 }), /no answer within 100 ms/);
});

test("goes by the status when the rest of the answer does not come in time", async () => {
  await using server = await serveHttp((response) => response.writeHead(413).write('{"error":'));
  assert.deepEqual(await post(server.url, { timeoutMs: 1_000 }), {
    status: 413,
    retryAfter: null,
    text: '{"error":',
  });
});

test("goes by the status when the connection ends in the middle of the answer", async () => {
  await using server = await serveHttp((response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("{", () => response.socket?.destroy());
  });
  assert.equal((await post(server.url)).status, 200);
});

test("throws when nobody listens", async () => {
  await assert.rejects(post(await rejectingUrl()));
});

test("throws when the name is unknown", async () => {
  await assert.rejects(post("http://no-such-host.invalid"));
});

test("throws when the connection is reset instead of an answer", async () => {
  await using server = await serveHttp((response) => response.socket?.resetAndDestroy());
  await assert.rejects(post(server.url));
});

test("throws when the other end does not speak HTTP", async () => {
  await using server = await serveTcp((socket) => socket.end("SSH-2.0-OpenSSH_9.9\r\n"));
  await assert.rejects(post(server.url));
});

test("sends a batch once only, though a kept-alive connection dies under it", async () => {
  await using server = await serveHttp((response) => {
    if (server.requests.length === 1) response.end();
    else response.socket?.destroy();
  });
  const client = new CollectorClient(`${server.url}/v2j`, 4_000);
  await client.post(PAYLOAD, EVENT_IDS, NEVER);

  await assert.rejects(client.post(PAYLOAD, EVENT_IDS, NEVER));

  assert.equal(server.requests.length, 2, "sending again is the publisher's decision");
});

test("ends a request when it is told to stop", async () => {
  const stop = new AbortController();
  await using server = await serveHttp(() => stop.abort());
  await assert.rejects(post(server.url, { stop: stop.signal }), { name: "AbortError" });
});

test("sends nothing once it was told to stop", async () => {
  await using server = await serveHttp((response) => response.end());
  await assert.rejects(post(server.url, { stop: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(server.requests.length, 0);
});

test("carries a whole batch of bytes that do not compress", async () => {
  await using server = await serveHttp((response) => response.end());
  const body = crypto.getRandomValues(new Uint8Array(65_536));
  await post(server.url, { payload: { ...PAYLOAD, body } });
  assert.ok(server.requests[0]!.body.equals(body));
});

function writeForEver(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, "x");
  const write = async (): Promise<void> => {
    while (!response.destroyed) if (!response.write(chunk)) await once(response, "drain");
  };
  write().catch(() => {}); // the client hung up, as it should
}
