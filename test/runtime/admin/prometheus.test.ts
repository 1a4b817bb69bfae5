import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { figuresOf, NEEDS_PROMTOOL, parseMetrics, promtool, scrape } from "../../support/prometheus.ts";
import { newQueue } from "../../support/publisher.ts";
import { rejectingUrl, serveHttp } from "../../support/servers.ts";

const NOWHERE = "http://127.0.0.1:9";
const OPEN_METRICS = "application/openmetrics-text";

/** What Prometheus 2.42 asks for. */
const PROMETHEUS_ACCEPTS = `${OPEN_METRICS};version=1.0.0,${OPEN_METRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1`;

/** Base units, what only grows, and what is counted; no ms, no kB, no percent. */
const UNITS =
  /_(seconds|bytes|total|info|events|batches|failures|limit|concurrency|depth|leased|letters|held|paused|failed|risks|running|replay_left)$/;

/** Some of a publisher's figures. */
async function pick(publisher: Parameters<typeof figuresOf>[0], names: readonly string[]) {
  const figures = await figuresOf(publisher);
  return Object.fromEntries(names.map((name) => [name, figures[name]]));
}

test("gives each metric a help, a type and a unit, and its queue as a label", async () => {
  await using main = newQueue(NOWHERE);
  const families = parseMetrics((await scrape(main.publisher)).text);
  assert.ok(families.length > 25, `${families.length} metrics`);
  for (const { name, help, type, samples } of families) {
    assert.match(name, /^eventspool_[a-z_]+$/);
    assert.match(help, /^[A-Z1].{10,}\.$/, `${name}: ${help}`);
    assert.match(help, /^[^"\\]*$/, name);
    assert.ok(["counter", "gauge", "histogram"].includes(type), `${name}: ${type}`);
    assert.match(name.replace("queue_max_events", "max_events"), UNITS);
    assert.equal(name.endsWith("_total"), type === "counter", `${name} is a ${type}`);
    assert.ok(samples.length > 0, name);
    for (const { labels } of samples) assert.match(labels, /(^|,)queue="main"$/, name);
  }
});

test("counts in each bucket of a histogram what those before it do, and all in the last", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url);
  main.queue.putMany(Array.from({ length: 40 }, (_, id) => ({ id })));
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const families = parseMetrics((await scrape(main.publisher)).text);
  const histograms = families.filter(({ type }) => type === "histogram");
  assert.equal(histograms.length, 4);
  for (const { name, samples } of histograms) {
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
    const counts = buckets.map(({ value }) => value);
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
      name,
    );
    assert.match(buckets.at(-1)?.labels ?? "", /^le="\+Inf"/);
    const count = samples.find((sample) => sample.name === `${name}_count`)?.value;
    assert.equal(counts.at(-1), count);
    assert.ok(count! > 0, `${name} has counted something`);
  }
});

test("has events put and delivered, batches, and the time from put to accepted", async () => {
  await using collector = await serveCollector();
  await using main = newQueue(collector.url, { "publisher.concurrency": "7", "batch.max_bytes": "200KiB" });
  main.queue.putMany(Array.from({ length: 40 }, (_, id) => ({ id })));
  assert.equal((await figuresOf(main.publisher)).running, 0);
  await sleep(5); // from put to accepted are whole milliseconds, and a fast machine takes none
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const figures = await figuresOf(main.publisher);
  const bytes = collector.batches.map(({ events }) => events.join(",").length + 2);
  const all = {
    put_events_total: 40,
    delivered_events_total: 40,
    put_to_accepted_seconds_count: 40,
    batch_events_sum: 40,
    batch_bytes_sum: bytes.reduce((a, b) => a + b),
    'requests_total{outcome="accepted"}': collector.batches.length,
    batch_events_count: collector.batches.length,
    batch_bytes_count: collector.batches.length,
    post_duration_seconds_count: collector.batches.length,
    'claimed_batches_total{claim="first"}': collector.batches.length,
    'claimed_batches_total{claim="again"}': 0,
    max_concurrency: 7,
    max_batch_bytes: 204_800,
    running: 1,
    failing_seconds: 0,
    held: 0,
  };
  assert.deepEqual(await pick(main.publisher, Object.keys(all)), all);
  for (const name of [
    "put_to_accepted_seconds_sum",
    "post_duration_seconds_sum",
    "queue_db_bytes",
    "queue_wal_bytes",
  ])
    assert.ok(figures[name]! > 0, `${name}: ${figures[name]}`);
  assert.ok(figures.concurrency_limit! >= 1 && figures.concurrency_limit! <= 7);
});

test("counts requests that end without an answer, and for how long there are only such", async () => {
  await using main = newQueue(await rejectingUrl());
  main.queue.put({ id: 1 });
  void main.publisher.run();
  await eventually(
    "a second request",
    async () => (await figuresOf(main.publisher)).transport_errors_total! >= 2,
  );

  const figures = await figuresOf(main.publisher);
  assert.equal(figures['requests_total{outcome="unavailable"}'], figures.transport_errors_total);
  assert.equal(figures['requests_total{outcome="accepted"}'], 0);
  assert.ok(figures.failing_seconds! > 0);
  assert.ok(figures.consecutive_failures! >= 2);
  assert.ok(figures['claimed_batches_total{claim="again"}']! >= 1);
  assert.equal(figures.delivered_events_total, 0);
});

test("counts answers by what they mean", async () => {
  const statuses = [503, 403, 200];
  await using server = await serveHttp((response) => response.writeHead(statuses.shift() ?? 200).end());
  await using main = newQueue(server.url);
  main.queue.put({ id: 1 });
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const all = {
    'requests_total{outcome="accepted"}': 1,
    'requests_total{outcome="unavailable"}': 1,
    'requests_total{outcome="misconfigured"}': 1,
    'requests_total{outcome="rejected"}': 0,
    transport_errors_total: 0,
    consecutive_failures: 0,
  };
  assert.deepEqual(await pick(main.publisher, Object.keys(all)), all);
});

test("counts halvings and the events that became dead letters", async () => {
  await using server = await serveHttp((response) => response.writeHead(422).end("no"));
  await using main = newQueue(server.url, { "dead_letters.max_share": "100%" });
  main.queue.putMany([{ id: 1 }, { id: 2 }, { id: 3 }]);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);

  const all = {
    'requests_total{outcome="rejected"}': 5,
    split_batches_total: 2,
    dead_lettered_events_total: 3,
    dead_letters: 3,
    held: 0,
    delivered_events_total: 0,
    put_to_accepted_seconds_count: 0,
  };
  assert.deepEqual(await pick(main.publisher, Object.keys(all)), all);
});

test("shows that the queue is held", async () => {
  await using server = await serveHttp((response) => response.writeHead(422).end("no"));
  await using main = newQueue(server.url);
  main.queue.putMany(Array.from({ length: 30 }, (_, id) => ({ id })));
  void main.publisher.run();
  await eventually("a held queue", async () => (await figuresOf(main.publisher)).held === 1);
});

test("has the publisher's metrics, and the file's failures, when the file cannot be read", async () => {
  await using main = newQueue(NOWHERE);
  void main.publisher.run();
  await eventually("a running publisher", async () => (await figuresOf(main.publisher)).running === 1);
  await main.publisher[Symbol.asyncDispose]();

  const { status, text } = await scrape(main.publisher);

  assert.equal(status, 200);
  const names = parseMetrics(text).map(({ name }) => name);
  assert.ok(!names.includes("eventspool_queue_depth"), "an old depth would be worse than none");
  for (const name of ["eventspool_running", "eventspool_storage_failures_total"])
    assert.ok(names.includes(name), name);
});

test("speaks OpenMetrics to who asks for it, with the same figures", async () => {
  await using main = newQueue(NOWHERE);
  main.queue.put({ id: 1 });

  const { type, text } = await scrape(main.publisher, PROMETHEUS_ACCEPTS);

  assert.equal(type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  assert.ok(text.endsWith("\n# EOF\n"));
  const families = parseMetrics(text);
  const names = families.map(({ name }) => name);
  assert.deepEqual(
    names.toSorted(),
    [...new Set(names)].toSorted(),
    "without _total no two names are the same",
  );
  for (const { name, type: kind, samples } of families)
    if (kind === "counter") {
      assert.doesNotMatch(name, /_total$/);
      for (const sample of samples) assert.equal(sample.name, `${name}_total`);
    }
  const samplesOf = (all: typeof families) => all.flatMap(({ samples }) => samples.map(({ name }) => name));
  assert.deepEqual(samplesOf(families), samplesOf(parseMetrics((await scrape(main.publisher)).text)));
});

test("speaks the text format to everyone else", async () => {
  await using main = newQueue(NOWHERE);
  for (const accept of [undefined, "*/*", "text/plain", "text/html", `text/plain,${OPEN_METRICS};q=0.5`]) {
    const { type, text } = await scrape(main.publisher, accept);
    assert.equal(type, "text/plain; version=0.0.4; charset=utf-8", accept);
    assert.doesNotMatch(text, /EOF/);
  }
});

test("passes Prometheus' own check of names, helps and types", NEEDS_PROMTOOL, async () => {
  await using main = newQueue(NOWHERE);
  const { text } = await scrape(main.publisher);

  assert.deepEqual(promtool(["check", "metrics"], { input: text }), { status: 0, output: "" });

  const worse = text.replaceAll("eventspool_requests_total", "eventspool_requests");
  assert.notEqual(promtool(["check", "metrics"], { input: worse }).status, 0, "the check is one");
});
