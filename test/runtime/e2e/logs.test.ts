import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

test("logs JSON lines to stderr, nothing to stdout, and the secret nowhere", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = ({ events }, nth) =>
    nth === 0 ? { status: 403, body: "not\nyou" } : { status: events.some(({ bad }) => bad) ? 400 : 200 };
  spool.put(3);
  spool.put(1, { bad: true });
  await using publisher = spool.publisher(
    { "collector.hostname": `127.0.0.1:${collector.port}`, "no.such.key": 1 },
    ["--debug"],
  );
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);

  const records = publisher.stderr.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const { "@timestamp": at, level, message, logger } of records) {
    assert.ok(Date.parse(String(at)) && typeof level === "string" && typeof message === "string");
    assert.match(String(logger), /^eventspool\./);
  }
  const levels = new Set(records.map(({ level }) => level));
  assert.deepEqual([...levels].toSorted(), ["DEBUG", "ERROR", "INFO", "WARN"]);
  assert.deepEqual(publisher.stdout, []);
  assert.ok(!publisher.stderr.join("\n").includes(KEY_BASE64));
});

test("continues to publish when the reader of its log has ended", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
  await using publisher = spool.publisher(settings, ["--debug"]);
  await publishing(publisher);
  publisher.child.stderr?.destroy();
  for (const n of [1, 2]) {
    spool.put(1);
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(collector.accepted.length, n);
  }
  assert.equal(await stop(publisher), 0);
});
