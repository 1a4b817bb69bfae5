import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { test } from "node:test";
import { json, LIMIT, queue } from "../../runtime/commands/queue/queue_support.ts";
import { eventually } from "../../support/eventually.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

test(
  "a paused publisher claims nothing, also after a restart, says so, and continues when resumed",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "admin.listen": "127.0.0.1:0" };
    await using first = spool.publisher(settings);
    await publishing(first);

    assert.deepEqual(await queue(spool, ["pause"]), { code: 0, stdout: "Paused queue main.\n", stderr: "" });
    await first.line(/"level":"WARN".*The queue is paused/);
    spool.put(3);
    const url = await addressOf(first);
    const health = (await (await fetch(new URL("/health", url))).json()) as Record<string, unknown>;
    assert.deepEqual([health.status, health.depth], ["degraded", 3]);
    assert.match(String(health.reasons), /^the queue is paused: events wait/);
    assert.match(String(health.paused_since), /^20\d\d-/);
    assert.match(await (await fetch(new URL("/metrics", url))).text(), /eventspool_paused\{queue="main"\} 1/);
    assert.match(await (await fetch(url)).text(), /class="badge warn">Paused</);
    assert.equal(await stop(first), 0);

    await using second = spool.publisher(settings);
    await second.line(/The queue is paused/);
    assert.match((await queue(spool, ["pause"])).stdout, /^Queue main has been paused for /);
    assert.equal(spool.queue.depth(), 3);
    assert.deepEqual(collector.acceptedNumbers, []);

    assert.deepEqual(await json(spool, ["resume"]), [{ queue: "main", paused: false, changed: true }]);
    await second.line(/The queue is resumed, after/);
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(collector.acceptedNumbers, [1, 2, 3]);
    assert.equal((await queue(spool, ["resume"])).stdout, "Queue main is not paused.\n");
  },
);

test("status shows a queue, whether its publisher lives, and what to do, on one page", LIMIT, async () => {
  using spool = new Spool();
  spool.put(2);
  const stateOf = async (): Promise<unknown> =>
    ((await json(spool, ["status"]))[0] as { publishers: { state: string }[] }).publishers[0]!.state;
  assert.equal(await stateOf(), "stopped");
  assert.match((await queue(spool, ["status"])).stdout, /^publisher {2}not running$/m);

  await using collector = await ScriptedCollector.open();
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await publishing(publisher);
  await eventually("the delivery on the page", async () =>
    /running \(pid \d+, eventspool .*\), ok; last delivery .* ago, 2 events/.test(
      (await queue(spool, ["status"])).stdout,
    ),
  );
  await queue(spool, ["pause"]);
  const page = (await queue(spool, ["status"])).stdout;
  assert.match(page, /^events {5}0 of at most 1000000, 0 leased$/m);
  assert.match(page, /^paused {5}for .*, resume with: .*queue\.ts resume$/m);
  assert.match(page, /^dead {7}no dead letters$/m);
  assert.match(page, /^disk {7}.* free; file .*, -wal /m);

  assert.equal(await stop(publisher, "SIGKILL"), "SIGKILL");
  const longAgo = new Date(Date.now() - 60_000); // instead of waiting until it counts as dead
  utimesSync(`${spool.queue.file}-publisher`, longAgo, longAgo);
  assert.equal(await stateOf(), "stopped");
  assert.match((await queue(spool, ["status"])).stdout, /^publisher {2}not running, last seen .* ago$/m);
});
