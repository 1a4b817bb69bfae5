import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogRecord, resetSync } from "@logtape/logtape";
import { captureLog } from "../../support/captured_log.ts";
import { serveCollector } from "../../support/collector.ts";
import { eventually } from "../../support/eventually.ts";
import { newQueue, type Settings } from "../../support/publisher.ts";
import { serveHttp } from "../../support/servers.ts";

/** The log of a publisher with one event, until a line matches `isDone`. */
async function logOf(url: string, isDone: RegExp, settings: Settings = {}): Promise<LogRecord[]> {
  const records = captureLog();
  try {
    await using main = newQueue(url, { "publisher.grace": "50ms", ...settings });
    main.queue.put({ id: 1 });
    void main.publisher.run();
    await eventually("a log line", () => records.some((record) => isDone.test(messageOf(record))));
  } finally {
    resetSync();
  }
  return records;
}

function messageOf({ message }: LogRecord): string {
  return message.map(String).join("");
}

function find(records: LogRecord[], pattern: RegExp): LogRecord {
  const record = records.find((record) => pattern.test(messageOf(record)));
  assert.ok(record, `${pattern} in:\n${records.map(messageOf).join("\n")}`);
  return record;
}

test("logs where it publishes to, what it delivered, and how it stopped", async () => {
  await using collector = await serveCollector();

  const records = await logOf(collector.url, /Delivered/);

  const started = find(records, /^Publishing queue /);
  assert.equal(started.level, "info");
  assert.equal(started.properties.url, `${collector.url}/v2j`);
  assert.match(String(started.properties.file), /events-main\.db$/);
  const { level, properties } = find(records, /^Delivered 1 events in /);
  assert.equal(level, "debug", "one line for each batch is only for debugging");
  assert.deepEqual([properties.firstId, properties.lastId, properties.attempts], [1, 1, 1]);
  find(records, /^Stopping: \d batches in flight have 50 ms to finish$/);
  find(records, /^Stopped: 1 events delivered, 0 still in the queue$/);
});

test("warns when the destination is unavailable, and says when it retries", async () => {
  await using server = await serveHttp((response) => response.writeHead(503).end("over quota"));

  const records = await logOf(server.url, /is unavailable/);

  const { level, properties } = find(
    records,
    /retrying in \d+ ms: the destination responded with 503: over quota$/,
  );
  assert.equal(level, "warning");
  assert.deepEqual([properties.firstId, properties.lastId], [1, 1]);
});

test("logs that the destination is available again", async () => {
  let isAway = true;
  await using server = await serveHttp((response) => {
    response.writeHead(isAway ? 503 : 200).end();
    isAway = false;
  });

  const records = await logOf(server.url, /is available again/);

  assert.equal(find(records, /^The destination is available again after \d+ ms$/).level, "info");
});

test("logs an error without a secret when the key is wrong", async () => {
  await using collector = await serveCollector();

  const records = await logOf(collector.url, /our key is wrong/, { "key.secret": "b3RoZXI=" });

  assert.equal(find(records, /our key is wrong; events are kept/).level, "error");
  assert.doesNotMatch(JSON.stringify(records), /b3RoZXI|other/);
});

test("logs an error for each event that becomes a dead letter", async () => {
  await using server = await serveHttp((response) => response.writeHead(422).end("no noun"));

  const records = await logOf(server.url, /dead letter/);

  const { level, properties } = find(
    records,
    /^The destination rejected event 1 \(422\), kept as a dead letter: /,
  );
  assert.equal(level, "error");
  assert.equal(properties.response, "no noun");
});
