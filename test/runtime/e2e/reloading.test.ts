import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, type Settings, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 30_000 };

/** A publisher whose configuration can be changed. */
function startPublisher(spool: Spool, settings: Settings): Program & { rewrite(settings: Settings): void } {
  const args = spool.publisherArgs(settings);
  const rewrite = (changed: Settings) => copyFileSync(spool.publisherArgs(changed).at(-1)!, args.at(-1)!);
  return { ...start("src/commands/publisher.ts", args), rewrite };
}

function settingsOf(collector: ScriptedCollector): Settings {
  return { "collector.hostname": `127.0.0.1:${collector.port}` };
}

test("reads its configuration again on SIGHUP, and loses and repeats nothing", LIMIT, async () => {
  using spool = new Spool();
  await using before = await ScriptedCollector.open();
  await using after = await ScriptedCollector.open();
  await using publisher = startPublisher(spool, settingsOf(before));
  await publishing(publisher);
  spool.put(100);
  await eventually("the first events", () => before.acceptedNumbers.length > 0);

  publisher.rewrite(settingsOf(after));
  publisher.signal("SIGHUP");
  await publisher.line(new RegExp(`Publishing .*http://127.0.0.1:${after.port}/`));
  spool.put(100);
  await eventually("an empty queue", () => spool.queue.depth() === 0);

  assert.equal(before.acceptedNumbers.length + after.acceptedNumbers.length, 200);
  assert.ok(after.acceptedNumbers.length >= 100);
  assert.equal(await stop(publisher), 0);
});

test("goes on as before when the configuration it is to read again cannot be used", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using publisher = startPublisher(spool, settingsOf(collector));
  await publishing(publisher);

  publisher.rewrite({ ...settingsOf(collector), "batch.max_age": "soon" });
  publisher.signal("SIGHUP");
  assert.match(await publisher.line(/SIGHUP/), /batch\.max_age/);
  spool.put(10);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(await stop(publisher), 0);
});
