import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { Hono } from "hono";
import { ConfigurationError } from "../../../src/errors.ts";
import { type ServedApp, serveApp } from "../../../src/server/serve.ts";
import { NO_OPENSSL, TestAuthority } from "../../support/certificates.ts";
import { eventually } from "../../support/eventually.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };
const LIMIT = { timeout: 300_000 };

const app: Hono = new Hono()
  .get("/readyz", (c) => c.text("ready"))
  .post("/echo", async (c) => c.text(await c.req.text()));

/** A connection and what came back on it so far. */
class Client implements Disposable {
  readonly socket: Socket;
  answer = "";
  isClosed = false;

  constructor(port: number, sent = "") {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => {}); // a reset is as good as an end
    this.socket.on("close", () => {
      this.isClosed = true;
    });
    this.socket.on("data", (data) => {
      this.answer += String(data);
    });
    if (sent !== "") this.socket.write(sent);
  }

  async answered(): Promise<string> {
    await eventually("an answer", () => /\r\n\r\n/.test(this.answer));
    return this.answer;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

for (const [what, request, expected] of [
  [
    "HTTP/1.0 without Host, as HAProxy's plain httpchk",
    "GET /readyz HTTP/1.0\r\n\r\n",
    /^HTTP\/1.. 200 .*ready$/s,
  ],
  ["HTTP/1.0 with Host", "GET /readyz HTTP/1.0\r\nHost: a\r\n\r\n", /^HTTP\/1.. 200 .*ready$/s],
  [
    "the absolute form",
    "GET http://a.example/readyz HTTP/1.1\r\nHost: b\r\n\r\n",
    /^HTTP\/1.. 200 .*ready$/s,
  ],
  ["HEAD", "HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n", /^HTTP\/1.1 200 .*\r\n\r\n$/s],
  ["the IPv6 address of its Host", "GET /readyz HTTP/1.1\r\nHost: [::1]:9800\r\n\r\n", /^HTTP\/1.1 200 /],
  [
    "Expect: 100-continue",
    "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 .*ab$/s,
  ],
] as const)
  test(`a request in ${what} gets a response`, LIMIT, async () => {
    await using served = closing(await serveApp(app, LOCAL));
    using client = new Client(served.port!, request);
    await client.answered();
    await eventually(String(expected), () => expected.test(client.answer)).catch(() => {});
    assert.match(client.answer, expected);
  });

for (const [what, request] of [
  ["a Host that no URL has", "POST /echo HTTP/1.1\r\nHost: a b\r\nContent-Length: 2\r\n\r\nab"],
  ["a target that no URL has", "POST http://[x/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"],
])
  test(`a request with ${what} is not answered as a fault of its content`, LIMIT, async () => {
    await using served = closing(await serveApp(app, LOCAL));
    using client = new Client(served.port!, request);
    assert.match(await client.answered(), /^HTTP\/1.1 421 .*\{"error":/s);
  });

test("an app that throws gets a 500, whatever status the error has", LIMIT, async () => {
  const failing = {
    fetch: () => {
      throw Object.assign(new Error("secret"), { status: 400 });
    },
  };
  await using served = closing(await serveApp(failing, LOCAL));
  const response = await fetch(served.address);
  assert.equal(response.status, 500);
  assert.deepEqual(await response.json(), { error: "The server failed. Send it again." });
});

test("an idle connection stays open longer than a request may take, and is closed later", LIMIT, async () => {
  await using served = closing(await serveApp(app, LOCAL, { requestTimeoutMs: 1_000, keepAliveMs: 5_000 }));
  const request = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
  using client = new Client(served.port!, request);
  await client.answered();
  const answeredAtMs = performance.now();
  await eventually("more time", () => client.isClosed || performance.now() - answeredAtMs > 1_200);
  assert.equal(client.isClosed, false);
  client.answer = "";
  client.socket.write(request);
  assert.match(await client.answered(), /200/);
  await eventually("the end of an idle connection", () => client.isClosed);
});

test(
  "makes room for a new connection by closing the one that has waited longest, and counts them",
  LIMIT,
  async () => {
    await using served = closing(await serveApp(app, LOCAL, { maxConnections: 8 }));
    using clients = new DisposableStack();
    const slow = [
      "",
      "POST /echo HTTP/1.1\r\nHo",
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
    ];
    const attackers: Client[] = [];
    for (let nth = 0; nth < 40; nth++) {
      const client = clients.use(new Client(served.port!, slow[nth % slow.length]));
      await once(client.socket, "connect");
      attackers.push(client);
      if (nth % 10 === 9) {
        using honest = new Client(
          served.port!,
          "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        );
        assert.match(await honest.answered(), /^HTTP\/1.1 200 /);
      }
    }
    await eventually("cut connections", () => attackers.filter(({ isClosed }) => isClosed).length >= 32);
    assert.ok(served.connections.openCount <= 8, `${served.connections.openCount} are open`);
    assert.ok(served.connections.cutCount >= 32);
    assert.equal(attackers.at(-1)!.isClosed, false, "the newest stays");
  },
);

test("a connection whose request is being answered is not closed", LIMIT, async () => {
  const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const waiting = new Hono().post("/", async (c) => {
    const body = await c.req.text();
    arrive();
    await mayAnswer;
    return c.text(body);
  });
  await using served = closing(await serveApp(waiting, LOCAL, { maxConnections: 3 }));
  const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
  using first = new Client(served.port!, request);
  await arrived;
  using clients = new DisposableStack();
  for (let nth = 0; nth < 10; nth++) await once(clients.use(new Client(served.port!)).socket, "connect");
  await eventually("cut connections", () => served.connections.cutCount >= 8);
  answer();
  assert.match(await first.answered(), /^HTTP\/1.1 200 /);
});

/** Connects by TLS; resolves with the answer to a GET and the name on the server's certificate. */
async function getByTls(
  { port }: ServedApp,
  authority: TestAuthority,
  client?: { readonly cert: Uint8Array; readonly key: Uint8Array },
): Promise<{ answer: string; name: string | undefined }> {
  const socket = connectTls({
    ...{ port: port!, host: "127.0.0.1", servername: "localhost", ca: Buffer.from(authority.ca) },
    ...(client && { cert: Buffer.from(client.cert), key: Buffer.from(client.key) }),
  });
  try {
    await once(socket, "secureConnect");
    const name = String(socket.getPeerCertificate().subject?.CN);
    socket.write("GET /readyz HTTP/1.0\r\n\r\n");
    return { answer: await text(socket), name };
  } finally {
    socket.destroy();
  }
}

test("HTTPS is served, and with a new certificate after a restart on the same port", {
  ...LIMIT,
  skip: NO_OPENSSL,
}, async () => {
  using authority = new TestAuthority();
  const first = await serveApp(app, LOCAL, { tls: authority.issue("first") });
  assert.match(first.address, /^https:/);
  const { answer, name } = await getByTls(first, authority);
  assert.match(answer, /^HTTP\/1.. 200 .*ready$/s);
  assert.equal(name, "first");
  await first.close();
  await using second = closing(
    await serveApp(app, { ...LOCAL, port: first.port! }, { tls: authority.issue("second") }),
  );
  assert.equal((await getByTls(second, authority)).name, "second");
});

test("TLS connections are limited too, and none is closed whose request is being answered", {
  ...LIMIT,
  skip: NO_OPENSSL,
}, async () => {
  using authority = new TestAuthority();
  const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const waiting = new Hono().get("/readyz", async (c) => {
    arrive();
    await mayAnswer;
    return c.text("ready");
  });
  await using served = closing(
    await serveApp(waiting, LOCAL, { tls: authority.issue("server"), maxConnections: 3 }),
  );
  const first = getByTls(served, authority);
  await arrived;
  using clients = new DisposableStack();
  for (let nth = 0; nth < 10; nth++) await once(clients.use(new Client(served.port!)).socket, "connect");
  await eventually("cut connections", () => served.connections.cutCount >= 8);
  answer();
  assert.match((await first).answer, /^HTTP\/1.. 200 /);
});

test("clients need a certificate of the authority", { ...LIMIT, skip: NO_OPENSSL }, async () => {
  using authority = new TestAuthority();
  using other = new TestAuthority();
  const tls = { ...authority.issue("server"), ca: readFileSync(authority.caFile) };
  await using served = closing(await serveApp(app, LOCAL, { tls }));
  assert.match((await getByTls(served, authority, authority.issue("client"))).answer, /200/);
  for (const client of [undefined, other.issue("client")])
    await assert.rejects(async () => assert.match((await getByTls(served, authority, client)).answer, /200/));
  assert.match((await getByTls(served, authority, authority.issue("client"))).answer, /200/);
});

test("a TLS request that does not arrive in time gets a 408", {
  ...LIMIT,
  skip: NO_OPENSSL,
}, async () => {
  using authority = new TestAuthority();
  const served = await serveApp(app, LOCAL, {
    tls: authority.issue("server"),
    requestTimeoutMs: 3_000,
    graceMs: 300,
  });
  const socket = connectTls({
    port: served.port!,
    host: "127.0.0.1",
    servername: "localhost",
    ca: Buffer.from(authority.ca),
  });
  await once(socket, "secureConnect");
  socket.write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
  assert.match(await text(socket), /^HTTP\/1.1 408 /);
  await served.close();
});

test("an unusable certificate is an error", LIMIT, async () => {
  const tls = { cert: Buffer.from("no"), key: Buffer.from("no") };
  await assert.rejects(serveApp(app, LOCAL, { tls, key: "listen" }), (error) => {
    assert.ok(error instanceof ConfigurationError);
    assert.match(error.message, /^listen: cannot use the certificate, its key or /);
    return true;
  });
});

function closing<T extends ServedApp>(served: T): T & AsyncDisposable {
  return Object.assign(served, { [Symbol.asyncDispose]: () => served.close() });
}
