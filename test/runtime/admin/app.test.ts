import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { admin } from "../../../src/admin/app.ts";
import type { Publisher } from "../../../src/publisher/publisher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue } from "../../support/publisher.ts";
import { serveHttp } from "../../support/servers.ts";

const NOWHERE = "http://127.0.0.1:9";

async function get(publisher: Publisher, path: string) {
  const response = await admin(publisher).request(path);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("GET /depth has the number of events", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "5" });
  assert.deepEqual(await get(main.publisher, "/depth"), {
    status: 200,
    body: {
      queue: "main",
      depth: 0,
      max_events: 5,
      leased: 0,
      dead_letters: 0,
      dead_letter_bytes: 0,
      dropped_dead_letters: 0,
      rejected_puts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
      oldest_event_age_seconds: null,
      retained_bytes: 0,
      subscriptions: [
        {
          name: "default",
          required: true,
          lag_limit_events: null,
          lag_limit_seconds: null,
          depth: 0,
          leased: 0,
          oldest_event_age_seconds: null,
          skipped: 0,
          replay_left: 0,
          dead_letters: 0,
        },
      ],
    },
  });

  const beforeMs = Date.now();
  main.queue.putMany([{ id: 1 }, { id: 2 }]);

  const { body } = await get(main.publisher, "/depth");
  assert.equal(body.depth, 2);
  const age = body.oldest_event_age_seconds;
  assert.ok(typeof age === "number" && age <= (Date.now() - beforeMs) / 1_000, `${age} s`);
});

test("GET /depth counts the events on their way as leased", async () => {
  await using server = await serveHttp(() => {});
  await using main = newQueue(server.url, { "publisher.grace": "0ms" });
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  void main.publisher.run();
  await eventually("a request", () => server.requests.length > 0);

  const { body } = await get(main.publisher, "/depth");

  assert.deepEqual([body.depth, body.leased], [2, 2]);
});

test("GET /health of a queue where nothing happened yet is ok", async () => {
  await using main = newQueue(NOWHERE);
  assert.deepEqual(await get(main.publisher, "/health"), {
    status: 200,
    body: {
      status: "ok",
      reasons: [],
      queue: "main",
      subscription: "default",
      depth: 0,
      max_events: 10_000,
      dead_letters: 0,
      oldest_event_age_seconds: null,
      last_success: null,
      last_error: null,
      failures_in_a_row: 0,
      failing_for_seconds: 0,
      in_flight: 0,
      delivered: 0,
    },
  });
});

test("GET /health has the time of the last success", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  const startedAtMs = Date.now();
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const { status, body } = await get(main.publisher, "/health");

  assert.deepEqual([status, body.status, body.delivered, body.depth], [200, "ok", 2, 0]);
  assert.match(String(body.last_success), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const lastSuccessMs = Date.parse(String(body.last_success));
  assert.ok(lastSuccessMs >= startedAtMs && lastSuccessMs <= Date.now());
});

test("GET /health answers 503 with the last error while the key is wrong", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, { "key.secret": "b3RoZXI=" });
  main.queue.put({ id: 1 });
  void main.publisher.run();
  await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);

  const response = await admin(main.publisher, { isLocal: true }).request("/health");
  const body = (await response.json()) as Record<string, unknown>;

  assert.deepEqual([response.status, body.status, body.depth], [503, "failing", 1]);
  const { at, ...error } = body.last_error as { at: string };
  assert.ok(Number.isFinite(Date.parse(at)));
  const message = 'the destination responded with 403: {"error":"Unknown key or wrong MAC."}';
  assert.deepEqual(error, { kind: "misconfigured", message });
  assert.ok(Number(body.failures_in_a_row) > 0);
  assert.doesNotMatch(JSON.stringify(body), /b3RoZXI|other/);
  const open = (await get(main.publisher, "/health")).body.last_error as { kind: string; message: string };
  assert.equal(open.kind, "misconfigured");
  assert.match(open.message, /^not shown/, "an answer may quote events");
});

test("GET /health escapes what the collector said: it is most often read in a terminal", async () => {
  const hostile = "\u001b]0;owned\u0007\u009b2J\u202eno";
  await using server = await serveHttp((response) => response.writeHead(403).end(hostile));
  await using main = newQueue(server.url);
  main.queue.put({ id: 1 });
  void main.publisher.run();
  await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);

  const response = await admin(main.publisher, { isLocal: true }).request("/health");
  const text = await response.text();

  assert.match(response.headers.get("content-type")!, /^application\/json/);
  assert.doesNotMatch(text, /[\p{Cc}\p{Bidi_Control}]/u);
  assert.ok((JSON.parse(text) as { last_error: { message: string } }).last_error.message.endsWith(hostile));
});

test("GET /health is degraded, with 200, while the collector is briefly unreachable", async () => {
  await using server = await serveHttp((response) => response.writeHead(503).end());
  await using main = newQueue(server.url);
  main.queue.put({ id: 1 });
  void main.publisher.run();
  await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);

  const { status, body } = await get(main.publisher, "/health");

  assert.deepEqual([status, body.status], [200, "degraded"]);
});

test("GET /health answers 503 when the queue is full", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "2" });
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  const { status, body } = await get(main.publisher, "/health");
  assert.deepEqual([status, body.status], [503, "failing"]);
});

test("GET /livez answers 200 whatever the queue is like", async () => {
  await using main = newQueue(NOWHERE, { max_queue_size: "1" });
  main.queue.put({ id: 1 });
  assert.deepEqual(await get(main.publisher, "/livez"), { status: 200, body: { status: "ok" } });
});

test("GET /readyz answers 200 while it publishes, 503 before and after", async () => {
  await using main = newQueue(NOWHERE);
  const stop = new AbortController();
  const notReady = { status: 503, body: { status: "not ready" } };
  assert.deepEqual(await get(main.publisher, "/readyz"), notReady);

  const running = main.publisher.run({ signal: stop.signal });
  assert.deepEqual(await get(main.publisher, "/readyz"), { status: 200, body: { status: "ready" } });

  stop.abort();
  assert.deepEqual(await get(main.publisher, "/readyz"), notReady, "from the moment when it begins to stop");
  await running;
  assert.deepEqual(await get(main.publisher, "/readyz"), notReady);
});

test("responds 404 to other paths and methods, and names the routes", async () => {
  await using main = newQueue(NOWHERE);
  const answer = { error: "The routes are GET /, /health, /depth, /metrics, /livez and /readyz." };
  for (const path of ["/index.html", "/healthz", "/depth/main"])
    assert.deepEqual(await get(main.publisher, path), { status: 404, body: answer }, path);
  const posted = await admin(main.publisher).request("/health", { method: "POST" });
  assert.equal(posted.status, 404);
});

test("responds 503 with the reason when the queue's file cannot be read", async () => {
  const main = newQueue(NOWHERE);
  await main[Symbol.asyncDispose]();

  const { status, body } = await get(main.publisher, "/health");

  assert.deepEqual([status, body.status, body.queue], [503, "failing", "main"]);
  assert.equal(typeof body.error, "string");
  assert.equal((await get(main.publisher, "/livez")).status, 200);
});

test("lets no proxy cache a response", async () => {
  await using main = newQueue(NOWHERE);
  for (const path of ["/health", "/depth", "/livez", "/readyz", "/nothing"]) {
    const response = await admin(main.publisher).request(path);
    assert.equal(response.headers.get("Cache-Control"), "no-store", path);
  }
});

test("can be mounted in a service's own app", async () => {
  await using main = newQueue(NOWHERE);
  const app = new Hono().route("/queue", admin(main.publisher));
  assert.equal((await app.request("/queue/depth")).status, 200);
});

test("requires its token, except for the probes", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  const app = admin(main.publisher, { token: "0123456789abcdef" });
  const ask = async (path: string, authorization?: string): Promise<Response> =>
    app.request(path, { headers: authorization === undefined ? {} : { Authorization: authorization } });

  for (const path of ["/health", "/depth", "/metrics"]) {
    for (const authorization of [undefined, "Bearer 0123456789abcdeX", "Basic 0123456789abcdef", "Bearer "]) {
      const response = await ask(path, authorization);
      assert.ok([400, 401].includes(response.status), `${path} ${authorization}`);
      assert.match(await response.text(), /Authorization: Bearer TOKEN/);
      assert.match(response.headers.get("WWW-Authenticate") ?? "", /^Bearer/);
    }
    assert.equal((await ask(path, "Bearer 0123456789abcdef")).status, 200);
  }
  assert.equal((await ask("/livez")).status, 200);
  assert.equal((await ask("/readyz")).status, 503, "it does not run yet");
});

test("gives Prometheus the same figures, and rejected puts", async () => {
  await using main = newQueue("http://127.0.0.1:9");
  main.queue.putMany([{ id: 1 }, { id: 2 }]);
  using small = new EventQueue("main", serializeJsonEvent, { directory: main.directory, maxEvents: 2 });
  assert.throws(() => small.put({}));
  small.close();

  const response = await admin(main.publisher).request("/metrics");
  assert.match(response.headers.get("Content-Type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  for (const line of [
    "# TYPE eventspool_queue_depth gauge",
    'eventspool_queue_depth{queue="main"} 2',
    'eventspool_queue_max_events{queue="main"} 2',
    'eventspool_delivered_events_total{queue="main"} 0',
    "# TYPE eventspool_rejected_puts_total counter",
    'eventspool_rejected_puts_total{reason="full",queue="main"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), `${line} in\n${text}`);
});
