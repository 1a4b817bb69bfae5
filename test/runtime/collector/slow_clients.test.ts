import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { type CollectorOptions, collector } from "../../../src/collector/app.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { type ServeOptions, serveApp } from "../../../src/server/serve.ts";
import { memorySink, type StoredBatch } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY } from "../../support/keys.ts";
import { connectTo, trickle } from "../../support/raw_http.ts";
import { signatureOf, signedBatch } from "../../support/signed.ts";

const LIMIT = { timeout: 300_000 };
const KEYS = new Map([[KEY.name, KEY.secret]]);

async function serve(options: Partial<CollectorOptions> = {}, serveOptions: ServeOptions = {}) {
  const status = new CollectorStatus();
  const stored: StoredBatch[] = [];
  const app = collector({ keys: KEYS, sink: memorySink(stored), status, ...options });
  const served = await serveApp(
    app,
    { host: "127.0.0.1", port: 0 },
    { maxConnections: 1_000, ...serveOptions },
  );
  status.connections = served.connections;
  return { ...served, status, stored, port: served.port!, [Symbol.asyncDispose]: () => served.close() };
}

/** Requests with a known key name whose bodies do not arrive. */
class Attack implements Disposable {
  readonly answers: string[] = [];
  readonly #sockets: Socket[] = [];

  async begin(port: number, count: number, begun = "x", declaredBytes = 100_000): Promise<void> {
    for (let nth = 0; nth < count; nth++) {
      const socket = connect(port, "127.0.0.1");
      const index = this.#sockets.push(socket) - 1;
      this.answers[index] = "";
      socket.on("error", () => {});
      socket.on("data", (data) => {
        this.answers[index] += String(data);
      });
      await once(socket, "connect");
      const head = `POST /v2j HTTP/1.1\r\nHost: a\r\nContent-Length: ${declaredBytes}\r\n`;
      socket.write(`${head}X-Signature: ${signatureOf("[1]")}\r\n\r\n${begun}`);
    }
  }

  send(bytes: number): void {
    for (const socket of this.#sockets) if (socket.writable) socket.write("x".repeat(bytes));
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function send(address: string): Promise<number> {
  const response = await fetch(`${address}/v2j`, signedBatch("[1]"));
  await response.text();
  return response.status;
}

test(
  "valid batches are accepted while hundreds of slow requests use the same key name; those get a 408",
  LIMIT,
  async () => {
    await using server = await serve({ maxRequests: 8 });
    using attack = new Attack();
    await attack.begin(server.port, 300);
    // On a busy machine the first get responses before the last have arrived.
    const begun = (): number => server.status.readingRequests + server.status.requests.too_slow;
    await eventually("slow requests", () => begun() >= 300);
    assert.equal(server.status.pendingRequests, 0);
    for (let nth = 0; nth < 20; nth++) assert.equal(await send(server.address), 200);
    assert.equal((await fetch(`${server.address}/readyz`)).status, 200);
    await eventually("an end of all of them", () => attack.answers.every((answer) => answer !== ""), 120_000);
    for (const answer of attack.answers) assert.match(answer, /^HTTP\/1.1 408 .*too slowly/s);
    assert.equal(server.status.requests.too_slow, 300);
    await eventually("an idle collector", () => server.status.readingRequests === 0);
  },
);

test(
  "a body that is slow but above the minimum rate is accepted, also after a fast beginning",
  LIMIT,
  async () => {
    await using server = await serve();
    using moving = new Attack();
    using stuck = new Attack();
    await moving.begin(server.port, 1);
    await stuck.begin(server.port, 1, "x".repeat(90_000));
    using _ = trickle(700, (bytes) => moving.send(bytes));
    await eventually("an answer to the one that is stuck", () => stuck.answers[0] !== "", 120_000);
    assert.match(stuck.answers[0]!, /^HTTP\/1.1 408 /);
    assert.equal(moving.answers[0], "");
    assert.equal(server.status.readingRequests, 1);
  },
);

test("bodies without a verified signature cannot use up the budget of others", LIMIT, async () => {
  await using server = await serve({ maxPendingBytes: 16_777_216 });
  using attack = new Attack();
  await attack.begin(server.port, 45, "x".repeat(400_000), 500_000);
  await eventually("bodies without an end", () => server.status.requests.overloaded > 0);
  for (let nth = 0; nth < 20; nth++) assert.equal(await send(server.address), 200);
  await eventually("a bound", () => server.status.readingBytes <= 16_777_216);
});

test("valid batches are accepted while all connections are in use", LIMIT, async () => {
  await using server = await serve({}, { maxConnections: 50 });
  using attack = new Attack();
  await attack.begin(server.port, 120);
  for (let nth = 0; nth < 10; nth++) assert.equal(await send(server.address), 200);
  assert.ok(server.connections.cutCount >= 70);
  using silent = new DisposableStack(); // on a busy machine the attack's have been answered 408 by now
  for (let nth = 0; nth < 50; nth++)
    silent.adopt(await connectTo(server.address), (socket) => void socket.destroy());
  await eventually("as many connections as may be", () => server.connections.openCount === 50);
  const health = await collectorAdmin(server.status).request("/health");
  const { status, reasons } = (await health.json()) as { status: string; reasons: string[] };
  assert.deepEqual([health.status, status], [200, "degraded"]);
  assert.match(reasons[0]!, /^All 50 connections are in use/);
  const metrics = await (await collectorAdmin(server.status).request("/metrics")).text();
  assert.match(metrics, /eventspool_collector_cut_connections_total \d\d/);
});

test("one of several keys gets at most half of the limits, and /health says when they are reached", async () => {
  const keep: (() => void)[] = [];
  const sink = {
    store: () =>
      new Promise<{ stored: number; duplicates: number }>((resolve) => {
        keep.push(() => resolve({ stored: 1, duplicates: 0 }));
      }),
  };
  const status = new CollectorStatus();
  const keys = new Map([...KEYS, ["other", KEY.secret]]);
  const app = collector({ keys, sink, status, maxRequests: 4 });
  const sendAs = (name: string): Promise<Response> | Response =>
    app.request(
      "/v2j",
      signedBatch("[1]", { "X-Signature": signatureOf("[1]", { name, secret: KEY.secret }) }),
    );
  const running = [sendAs(KEY.name), sendAs(KEY.name)];
  await eventually("two batches", () => keep.length === 2);
  assert.equal((await sendAs(KEY.name)).status, 503);
  const forged = signedBatch("[1]", {
    "X-Signature": signatureOf("[2]", { name: "other", secret: KEY.secret }),
  });
  for (let nth = 0; nth < 5; nth++) assert.equal((await app.request("/v2j", forged)).status, 403);
  running.push(sendAs("other"), sendAs("other"));
  await eventually("four batches", () => keep.length === 4);
  const ready = await app.request("/readyz");
  assert.deepEqual([ready.status, await ready.json()], [503, { status: "saturated" }]);
  const health = await collectorAdmin(status).request("/health");
  assert.match(
    ((await health.json()) as { reasons: string[] }).reasons[0]!,
    /^It is storing 4 requests with 12 bytes/,
  );
  assert.equal(health.status, 503);
  assert.match(await (await collectorAdmin(status).request("/metrics")).text(), /collector_saturated 1\n/);
  for (const one of keep) one();
  for (const one of running) assert.equal((await one).status, 200);
  assert.equal((await app.request("/readyz")).status, 200);
});

/** Failures of the collector, or of the app around it. */
const faults: readonly (readonly [what: string, make: () => Hono])[] = [
  [
    "a sink that throws what asks for a 400",
    () => withOptions({ sink: { store: () => Promise.reject(new HTTPException(400)) } }),
  ],
  [
    "a sink that breaks at once",
    () =>
      withOptions({
        sink: {
          store: () => {
            throw new HTTPException(422);
          },
        },
      }),
  ],
  [
    "a validator that throws what asks for a 422",
    () =>
      withOptions({
        validate: () => {
          throw new HTTPException(422);
        },
      }),
  ],
  [
    "a validator that overflows the stack",
    () =>
      withOptions({
        validate: function again(): string {
          return again() + again();
        },
      }),
  ],
  ["a validator that returns a promise", () => withOptions({ validate: (async () => undefined) as never })],
  [
    "keys that cannot be looked up",
    () =>
      withOptions({
        keys: () => {
          throw new HTTPException(404);
        },
      }),
  ],
  [
    "middleware that throws",
    () =>
      around((_c, _next) => {
        throw new HTTPException(413);
      }),
  ],
  [
    "middleware that reads the body",
    () =>
      around(async (c, next) => {
        await c.req.text();
        await next();
      }),
  ],
  [
    "middleware that locks the body",
    () =>
      around(async (c, next) => {
        c.req.raw.body?.getReader();
        await next();
      }),
  ],
  [
    "a stream that breaks",
    () =>
      around(async (c, next) => {
        const body = new ReadableStream({
          pull: () => Promise.reject(Object.assign(new Error("too many open files"), { code: "EMFILE" })),
        });
        c.req.raw = new Request(c.req.raw.url, {
          method: "POST",
          headers: c.req.raw.headers,
          body,
          duplex: "half",
        } as RequestInit);
        await next();
      }),
  ],
];

function withOptions(options: Partial<CollectorOptions>): Hono {
  return new Hono().route("/in", collector({ keys: KEYS, sink: memorySink([]), ...options }));
}

function around(middleware: Parameters<Hono["use"]>[1]): Hono {
  const inner = new Hono().route("/in", collector({ keys: KEYS, sink: memorySink([]) }));
  const app = new Hono().use("*", middleware as never).route("/", inner);
  app.onError((error, c) => c.text(error.message, 500));
  return app;
}

for (const [what, make] of faults)
  test(`${what} is never answered as a fault of the events`, LIMIT, async () => {
    const { status } = await make().request("/in/v2j", signedBatch("[1]"));
    assert.ok(status >= 500, String(status));
    await using served = await (async () => {
      const one = await serveApp(make(), { host: "127.0.0.1", port: 0 });
      return { ...one, [Symbol.asyncDispose]: () => one.close() };
    })();
    const response = await fetch(`${served.address}/in/v2j`, signedBatch("[1]"));
    await response.text();
    assert.ok(response.status >= 500, String(response.status));
  });
