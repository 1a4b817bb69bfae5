import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { type Settings, Spool, stop } from "../../support/spool.ts";
import { listenAsStatsd } from "../../support/statsd.ts";

const LIMIT = { timeout: 300_000 };

/** Puts one event, then another, lets a publisher deliver both, and stops it. */
async function deliverTwo(settings: Settings, statuses: readonly number[] = []): Promise<void> {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = (_, nth) => ({ status: statuses[nth] ?? 200 });
  await using publisher = spool.publisher({
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "metrics.namespace": "events.publisher",
    ...settings,
  });
  for (const n of [1, 2]) {
    spool.put(1);
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers.length, n);
  }
  assert.equal(await stop(publisher), 0);
}

test("sends attempts, failures and delivered events to statsd", LIMIT, async () => {
  await using statsd = await listenAsStatsd();
  await deliverTwo({ "metrics.endpoint": `127.0.0.1:${statsd.endpoint.port}` }, [503]);
  const packets = await statsd.packets(6); // of three attempts
  const names = packets.map((packet) => packet.replace(/:[\d.e+-]+\|ms$/, ":MS|ms"));
  const [post, sent] = ["events.publisher.post:MS|ms", "events.publisher.sent:1|c"];
  assert.deepEqual(names.toSorted(), ["events.publisher.error.http:1|c", post, post, post, sent, sent]);
});

test("delivers while statsd does not run", LIMIT, async () => {
  const { port } = await (async () => {
    await using gone = await listenAsStatsd();
    return gone.endpoint;
  })();
  await deliverTwo({ "metrics.endpoint": `127.0.0.1:${port}` });
});

test("delivers while the name of statsd's host cannot be resolved", LIMIT, async () => {
  await deliverTwo({ "metrics.endpoint": "no-such-host.invalid:8125" });
});
