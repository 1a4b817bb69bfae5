import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { HttpClient, type HttpPost } from "../../../../src/publisher/destinations/http_client.ts";
import type { HttpResponse } from "../../../../src/publisher/destinations/http_response.ts";
import { MAX_RESPONSE_BYTES } from "../../../../src/wire/rejections.ts";
import { eventually } from "../../../support/eventually.ts";
import { rejectingUrl, serveHttp, serveTcp } from "../../../support/servers.ts";

const BODY: Buffer = gzipSync('[{"id":1}]');
const POST: HttpPost = { headers: { "Content-Encoding": "gzip", "X-Any": "thing" }, body: BODY };
const NEVER = new AbortController().signal;

async function post(
  url: string,
  { timeoutMs = 60_000, stop = NEVER, body = BODY } = {},
): Promise<HttpResponse> {
  const client = new HttpClient(`${url}/v2j`, { timeoutMs });
  try {
    return await client.post({ ...POST, body }, stop);
  } finally {
    client.close();
  }
}

test("sends body and headers as they are", async () => {
  await using server = await serveHttp((response) => response.end());

  await post(server.url);

  const [request] = server.requests;
  assert.deepEqual([request?.method, request?.path], ["POST", "/v2j"]);
  assert.deepEqual(new Uint8Array(request!.body), new Uint8Array(BODY));
  for (const [name, value] of Object.entries(POST.headers))
    assert.equal(request!.headers[name.toLowerCase()], value, name);
});

interface Session {
  fetch(url: string, init: unknown): Promise<Response>;
}
const { Bun } = globalThis as { Bun?: { FetchSession: new (options: object) => Session } };

test("uses Bun's sessions, which cost a quarter of the processor time", {
  skip: Bun === undefined && "only Bun has them",
}, async () => {
  await using server = await serveHttp((response) => response.end());
  const { FetchSession } = Bun!;
  const urls: string[] = [];
  Bun!.FetchSession = class extends FetchSession {
    override fetch(url: string, init: unknown): Promise<Response> {
      urls.push(url);
      return super.fetch(url, init);
    }
  };
  try {
    await post(server.url);
  } finally {
    Bun!.FetchSession = FetchSession;
  }
  assert.deepEqual([urls, server.requests.length], [[`${server.url}/v2j`], 1]);
});

test("sends the length of the body first, for collectors that do not support chunks", async () => {
  await using server = await serveHttp((response) => response.end());
  await post(server.url);
  const { headers } = server.requests[0]!;
  assert.equal(headers["content-length"], String(BODY.length));
  assert.equal(headers["transfer-encoding"], undefined);
});

test("gives status, Retry-After and body of the answer", async () => {
  await using server = await serveHttp((response) =>
    response
      .writeHead(503, { "Retry-After": "7", "Content-Type": "application/json" })
      .end('{"error":"über quota"}'),
  );
  assert.deepEqual(await post(server.url), {
    status: 503,
    contentType: "application/json",
    contentEncoding: "",
    acceptEncoding: undefined,
    retryAfter: "7",
    eventIds: undefined,
    isCached: false,
    text: '{"error":"über quota"}',
    isCut: false,
  });
});

test("gives an answer without a body, or without Retry-After", async () => {
  await using server = await serveHttp((response) => response.writeHead(204).end());
  assert.deepEqual(await post(server.url), {
    status: 204,
    contentType: "",
    contentEncoding: "",
    acceptEncoding: undefined,
    retryAfter: null,
    eventIds: undefined,
    isCached: false,
    text: "",
    isCut: false,
  });
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`takes a ${status} for the answer and does not follow it`, async () => {
    await using server = await serveHttp((response, { path }) =>
      response.writeHead(path === "/v2j" ? status : 200, { Location: "/login" }).end("moved"),
    );

    const { status: received, text } = await post(server.url);
    assert.deepEqual([received, text], [status, "moved"]);
    assert.equal(server.requests.length, 1);
  });
}

test("reads the beginning of an answer that never ends, and hangs up", async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await serveHttp((response) => {
    response.on("close", closed.resolve);
    writeForEver(response);
  });

  const { status, text, isCut } = await post(server.url);

  assert.deepEqual([status, text.length, isCut], [200, MAX_RESPONSE_BYTES, true]);
  await closed.promise;
});

test("gives up on a collector that does not answer in time", async () => {
  await using server = await serveHttp(() => {});
  await assert.rejects(post(server.url, { timeoutMs: 100 }), /no answer within 100 ms/);
});

test("says that a response is cut when the rest of it does not come in time", async () => {
  await using server = await serveHttp((response) => response.writeHead(413).write('{"error":'));
  // On a busy machine the time may be over before there is any of it.
  const { status, text, isCut } = await eventually("a response", () =>
    post(server.url, { timeoutMs: 1_000 }).catch(() => undefined),
  );
  assert.deepEqual([status, text, isCut], [413, '{"error":', true]);
});

test("says that a response is cut when the connection ends in the middle of it", async () => {
  await using server = await serveHttp((response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("{", () => response.socket?.destroy());
  });
  const { status, isCut } = await post(server.url);
  assert.deepEqual([status, isCut], [200, true]);
});

test("says that a response is cut when it does not tell its length and the connection is reset", async () => {
  let waitMs = 50;
  await using server = await serveTcp((socket) => {
    socket.once("data", () =>
      socket.write("HTTP/1.1 200 OK\r\n\r\n", () => setTimeout(() => socket.resetAndDestroy(), waitMs)),
    );
  });
  // On a busy machine the reset may be there before the response is read.
  const { status, isCut } = await eventually("a response", () => {
    waitMs *= 2;
    return post(server.url).catch(() => undefined);
  });
  assert.deepEqual([status, isCut], [200, true]);
});

test("takes a response that the end of the connection ends for a whole one, from the second on", async () => {
  await using server = await serveTcp((socket) => {
    socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nthanks"));
  });
  const client = new HttpClient(server.url, { timeoutMs: 60_000 });
  const { status } = await client.post(POST, NEVER);
  const { text, isCut } = await client.post(POST, NEVER);
  client.close();
  assert.deepEqual([status, text, isCut], [200, "thanks", false]);
});

for (const [what, isClosed] of [
  ["closes the connection", true],
  ["keeps it open", false],
] as const)
  test(`throws when the answer switches to another protocol, and the server ${what}`, async () => {
    const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
    await using server = await serveTcp((socket) => {
      socket.once("data", () => (isClosed ? socket.end(answer) : socket.write(answer)));
    });
    await assert.rejects(post(server.url, { timeoutMs: 2_000 }));
  });

test("throws when no server listens", async () => {
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
  const client = new HttpClient(`${server.url}/v2j`, { timeoutMs: 60_000 });
  await client.post(POST, NEVER);

  await assert.rejects(client.post(POST, NEVER));
  client.close();

  assert.equal(server.requests.length, 2, "sending again is the publisher's decision");
});

test("ends a request when its signal aborts", async () => {
  const stop = new AbortController();
  await using server = await serveHttp(() => stop.abort());
  await assert.rejects(post(server.url, { stop: stop.signal }), { name: "AbortError" });
});

test("sends nothing once its signal has aborted", async () => {
  await using server = await serveHttp((response) => response.end());
  await assert.rejects(post(server.url, { stop: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(server.requests.length, 0);
});

test("carries a whole batch of bytes that do not compress", async () => {
  await using server = await serveHttp((response) => response.end());
  const body = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
  await post(server.url, { body });
  assert.ok(server.requests[0]!.body.equals(body));
});

function writeForEver(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, "x");
  const write = async (): Promise<void> => {
    while (!response.destroyed) if (!response.write(chunk)) await once(response, "drain");
  };
  write().catch(() => {}); // the client hung up, as it should
}
