import assert from "node:assert/strict";
import { test } from "node:test";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { collector } from "../../../src/collector/app.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { MAX_WRONG_TOKENS_PER_ADDRESS } from "../../../src/server/admin_routes.ts";
import { memorySink } from "../../support/collector.ts";
import { KEY } from "../../support/keys.ts";
import { NEEDS_PROMTOOL, parseMetrics, promtool } from "../../support/prometheus.ts";
import { signedBatch } from "../../support/signed.ts";

const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** A collector that accepted 3 events, and rejected 1 and an unsigned request. */
async function usedCollector(): Promise<CollectorStatus> {
  const status = new CollectorStatus();
  const app = collector({
    keys: new Map([[KEY.name, KEY.secret]]),
    sink: memorySink([]),
    status,
    v1: true,
  });
  await app.request("/v2j", signedBatch("[1,2]"));
  await app.request("/v1", signedBatch('[{"a":1},2]'));
  await app.request("/v2j", { method: "POST", body: "[1]" });
  return status;
}

test("/health shows the status and the load", async () => {
  const status = await usedCollector();
  const answer = await collectorAdmin(status).request("/health");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("Cache-Control"), "no-store");
  const { last_stored: lastStored, ...told } = (await answer.json()) as Record<string, unknown>;
  assert.match(String(lastStored), /^\d{4}-.*Z$/);
  assert.deepEqual(told, {
    status: "ok",
    reasons: [],
    last_error: null,
    failures_in_a_row: 0,
    reading_requests: 0,
    reading_bytes: 0,
    pending_requests: 0,
    pending_bytes: 0,
    ignored_event_ids: { malformed: 0, unsigned: 0, bad_mac: 0, clock: 0 },
  });
});

test("/metrics counts requests by outcome, and events by key", async () => {
  const answer = await collectorAdmin(await usedCollector()).request("/metrics");
  assert.equal(answer.headers.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  const families = parseMetrics((await answer.text()).replaceAll(/^(eventspool_\w+) /gm, "$1{} "));
  for (const { name, help } of families) {
    assert.match(name, /^eventspool_collector_[a-z_]+$/);
    assert.match(help, /^[A-Z1].{10,}\.$/, `${name}: ${help}`);
  }
  const figures = families.flatMap(({ samples }) => samples);
  const figure = (name: string, labels = ""): number | undefined =>
    figures.find((one) => one.name === `eventspool_collector_${name}` && one.labels === labels)?.value;
  const key = `key="${KEY.name}"`;
  assert.equal(figure("stored_events_total", key), 3);
  assert.equal(figure("rejected_events_total", key), 1);
  assert.equal(figure("duplicate_events_total", key), 0);
  assert.equal(figure("received_bytes_total", key), 16);
  assert.equal(figure("requests_total", 'outcome="accepted"'), 1);
  assert.equal(figure("requests_total", 'outcome="partly_rejected"'), 1);
  assert.equal(figure("requests_total", 'outcome="unauthorized"'), 1);
  assert.equal(figure("requests_total", 'outcome="overloaded"'), 0);
  assert.equal(figure("store_duration_seconds_count"), 2);
  assert.equal(figure("batch_events_sum"), 4);
  assert.equal(figure("pending_bytes"), 0);
});

test("/metrics is OpenMetrics for clients that prefer it", async () => {
  const headers = { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" };
  const answer = await collectorAdmin(await usedCollector()).request("/metrics", { headers });
  assert.equal(answer.headers.get("Content-Type"), OPEN_METRICS);
  assert.match(await answer.text(), /# EOF\n$/);
});

test("promtool finds no fault in /metrics", NEEDS_PROMTOOL, async () => {
  const answer = await collectorAdmin(await usedCollector()).request("/metrics");
  assert.deepEqual(promtool(["check", "metrics"], { input: await answer.text() }), { status: 0, output: "" });
});

test("all routes but the probes need the token", async () => {
  const admin = collectorAdmin(await usedCollector(), { token: "0123456789abcdef" });
  for (const path of ["/health", "/metrics"]) {
    assert.equal((await admin.request(path)).status, 401, path);
    const headers = { Authorization: "Bearer 0123456789abcdef" };
    assert.equal((await admin.request(path, { headers })).status, 200, path);
  }
  for (const path of ["/livez", "/readyz"]) assert.equal((await admin.request(path)).status, 200, path);
  assert.equal((await admin.request("/v2")).status, 404);
});

test("/health is failing when the sink has not stored a batch for 30 s", async () => {
  const status = new CollectorStatus();
  const { promise, resolve } = Promise.withResolvers<number>();
  const { now } = performance;
  const storing = status.measureStore(() => promise);
  try {
    performance.now = () => now.call(performance) + 31_000;
    const { status: health, reasons } = status.health();
    assert.equal(health, "failing");
    assert.match(reasons.join(), /^The sink has not stored a batch for 3\d s\.$/);
  } finally {
    performance.now = now;
  }
  resolve(1);
  await storing;
  assert.equal(status.health().status, "ok");
});

test("without a token, only requests to a name of this machine are answered", async () => {
  const status = new CollectorStatus();
  const ask = async (app: ReturnType<typeof collectorAdmin>, url: string): Promise<number> =>
    (await app.request(url)).status;
  for (const path of ["/health", "/metrics", "/livez", "/readyz"]) {
    const local = collectorAdmin(status, { isLocal: true });
    assert.equal(await ask(local, `http://localhost:9901${path}`), 200, path);
    assert.equal(await ask(local, `http://evil.example${path}`), 403, path);
    assert.equal(await ask(collectorAdmin(status), `http://10.0.0.1${path}`), 200, path);
  }
  const token = "0123456789abcdef";
  const guarded = collectorAdmin(status, { isLocal: true, token });
  assert.equal(await ask(guarded, "http://ops.example/health"), 401);
});

test("wrong tokens are throttled, and the right one always passes", async () => {
  const token = "0123456789abcdef";
  const app = collectorAdmin(new CollectorStatus(), { token });
  const ask = async (text: string): Promise<Response> =>
    app.request("/metrics", { headers: { Authorization: `Bearer ${text}` } });
  for (let tries = 0; tries < MAX_WRONG_TOKENS_PER_ADDRESS; tries++)
    assert.equal((await ask("wrong")).status, 401);
  const throttled = await ask("wrong");
  assert.equal(throttled.status, 429);
  assert.ok(Number(throttled.headers.get("Retry-After")) > 0);
  assert.equal((await ask(token)).status, 200);
});
