import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Hono } from "hono";
import { ConfigurationError } from "../../../src/errors.ts";
import { type ServedApp, serveApp } from "../../../src/server/serve.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };

const hello: Hono = new Hono().get("/", (c) => c.text("hello"));

async function send(options: RequestOptions): Promise<IncomingMessage> {
  const request = httpRequest(options);
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

async function withSocketPath(body: (path: string) => Promise<void>): Promise<void> {
  using directory = temporaryDirectory();
  await body(join(directory.path, "app.sock"));
}

async function rejection(serving: Promise<ServedApp>): Promise<string> {
  const error = await serving.then(
    (served) => served.close().then(() => undefined),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigurationError, String(error));
  return error.message;
}

test("port 0 is a free port, and the address names it", async () => {
  const served = await serveApp(hello, LOCAL);
  assert.equal(served.address, `http://127.0.0.1:${served.port}`);
  assert.equal(await (await fetch(served.address)).text(), "hello");
  await served.close();
  await assert.rejects(send({ port: served.port }));
});

test("a unix socket is served, and its file is removed on close", () =>
  withSocketPath(async (path) => {
    const served = await serveApp(hello, { path });
    assert.deepEqual([served.address, served.port], [`unix:${path}`, undefined]);
    assert.equal(await text(await send({ socketPath: path })), "hello");
    await served.close();
    assert.equal(existsSync(path), false);
  }));

test("the Request and Response of the process stay as they are", async () => {
  const { Request, Response } = globalThis;
  const served = await serveApp(hello, LOCAL);
  await served.close();
  assert.deepEqual([globalThis.Request, globalThis.Response], [Request, Response]);
});

test("a port in use is an error that names it", async () => {
  const served = await serveApp(hello, LOCAL);
  const message = await rejection(serveApp(hello, { host: "127.0.0.1", port: served.port! }));
  assert.match(
    message,
    new RegExp(`^cannot listen on 127\\.0\\.0\\.1:${served.port}: the address is in use\\. Stop`),
  );
  await served.close();
});

test("an address of another machine is an error", async () => {
  assert.match(
    await rejection(serveApp(hello, { host: "192.0.2.1", port: 0 })),
    /does not have the address\. Use 127\.0\.0\.1/,
  );
  assert.equal(existsSync("/no/such/file"), false); // Bun reports the errno that this leaves behind
  assert.match(
    await rejection(serveApp(hello, { host: "host.invalid", port: 0 })),
    /does not have the address/,
  );
});

test("a unix socket where another process listens is not replaced", () =>
  withSocketPath(async (path) => {
    const served = await serveApp(hello, { path });
    assert.match(await rejection(serveApp(hello, { path })), /another process listens there/);
    assert.equal(await text(await send({ socketPath: path })), "hello");
    await served.close();
  }));

test("a file that is not a socket is not replaced", () =>
  withSocketPath(async (path) => {
    writeFileSync(path, "precious");
    assert.match(await rejection(serveApp(hello, { path })), /the file is not a socket/);
    assert.equal(existsSync(path), true);
  }));

test("a missing directory and a path that is too long are errors", () =>
  withSocketPath(async (path) => {
    assert.match(
      await rejection(serveApp(hello, { path: `${path}/x/y` })),
      /^cannot listen on unix socket .*: the directory .*\/x does not exist\. Choose another path\.$/,
    );
    assert.match(await rejection(serveApp(hello, { path: `${path}${"x".repeat(108)}` })), /too long/);
  }));

test("the unix socket of a killed process is replaced", () =>
  withSocketPath(async (path) => {
    const killed = await startServer(path);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    assert.equal(existsSync(path), true);
    const served = await serveApp(hello, { path });
    assert.equal(await text(await send({ socketPath: path })), "hello");
    await served.close();
  }));

async function startServer(path: string): Promise<ChildProcess> {
  const [command, args] = runtimeCommand(
    new URL("../../support/programs/socket_server.ts", import.meta.url),
    [path],
  );
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

test("close does not wait for idle connections", async () => {
  const served = await serveApp(hello, LOCAL);
  const agent = new Agent({ keepAlive: true });
  assert.equal(await text(await send({ port: served.port, agent })), "hello");
  await served.close();
  agent.destroy();
});

test("close lets a running request finish", async () => {
  const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  const app = new Hono().get("/", async (c) => {
    arrive();
    await mayAnswer;
    return c.text("late");
  });
  const served = await serveApp(app, LOCAL);
  const response = send({ port: served.port, agent: false });
  await arrived;
  const closed = served.close();
  answer();
  assert.equal(await text(await response), "late");
  await closed;
});

test("close ends a response that does not end", async () => {
  const app = new Hono().get("/", (c) =>
    c.body(new ReadableStream({ start: (s) => s.enqueue(new Uint8Array(1)) })),
  );
  const served = await serveApp(app, LOCAL);
  const response = await send({ port: served.port });
  const broken = assert.rejects(text(response));
  await Promise.all([served.close(), served.close()]);
  await broken;
});

for (const [name, sent] of [
  ["nothing", ""],
  ["half of its headers", "POST / HTTP/1.1\r\nHost: a\r\nX-A"],
  ["half of its body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"],
] as const) {
  test(`a request of which ${name} arrives in time gets a 408`, async () => {
    const served = await serveApp(
      new Hono().post("/", async (c) => c.text(await c.req.text())),
      LOCAL,
      {
        requestTimeoutMs: 200,
      },
    );
    const answer = await rawAnswer(served, sent);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    await served.close();
  });
}

test("headers that are too long or too many get a 431", async () => {
  const served = await serveApp(hello, LOCAL);
  for (const headers of [`X-A: ${"x".repeat(20_000)}\r\n`, "X: 1\r\n".repeat(20_000)]) {
    const answer = await rawAnswer(served, `GET / HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    assert.match(answer, /^(HTTP\/1\.1 431 .*)?$/s, "or a reset before it is read");
    assert.doesNotMatch(answer, /hello/);
  }
  await served.close();
});

const POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n[1]";

for (const [what, sent, expected] of [
  ["the PROXY protocol, version 1", `PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n${POST}`, /PROXY protocol/],
  [
    "the PROXY protocol, version 2",
    `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x05\0\x06${POST}`,
    /PROXY protocol/,
  ],
  ["TLS", `\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03${"x".repeat(500)}`, /not an HTTP\/1\.1 request/],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /not an HTTP\/1\.1 request/],
  ["a header that is none", "POST / HTTP/1.1\r\nHost: a\r\nA B\r\n\r\n", /not an HTTP\/1\.1 request/],
  ["two lengths", POST.replace("Host", "Content-Length: 4\r\nHost"), /not an HTTP\/1\.1 request/],
  ["a long PROXY request", `PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n${"x".repeat(500_000)}`, /PROXY protocol/],
] as const)
  test(`${what} gets a 421 with a reason, and never a 400, which would blame the events`, async () => {
    const served = await serveApp(hello, LOCAL);
    const answer = await rawAnswer(served, sent);
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    assert.match(head, /^HTTP\/1\.1 421 Misdirected Request\r\n/);
    assert.match((JSON.parse(body) as { error: string }).error, expected);
    await served.close();
  });

test("idle connections stay open longer than the 60 s of nginx and other balancers", async () => {
  const served = await serveApp(hello, LOCAL);
  const response = await send({ port: served.port });
  response.resume();
  assert.equal(response.headers["keep-alive"], "timeout=75");
  await served.close();
});

test("a request of HTTP/1.1 without Host reaches the app", async () => {
  const served = await serveApp(hello, LOCAL);
  const answer = await rawAnswer(served, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  assert.match(answer, /^HTTP\/1\.1 200 /);
  await served.close();
});

/** What comes back until the connection is closed. */
async function rawAnswer({ port }: ServedApp, sent: string): Promise<string> {
  const socket = connect(port!, "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => {
    answer += String(data);
  });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => {}); // a reset is as good as an end
  if (sent !== "") socket.write(sent, "latin1");
  await closed;
  return answer;
}
