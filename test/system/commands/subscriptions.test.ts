import assert from "node:assert/strict";
import { test } from "node:test";
import { EventTable } from "../../../src/storage/events.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { json, LIMIT, queue } from "../../runtime/commands/queue/queue_support.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { namedIds, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

function open(spool: Spool): QueueFile {
  return QueueFile.open(spool.queue.file);
}

/** Puts events that `default` has delivered, and that stay for a day. */
function putDelivered(spool: Spool, count: number): void {
  const file = open(spool);
  new EventTable(file).setRetention({ maxAgeMs: 86_400_000 });
  spool.put(count);
  const leases = new LeaseTable(file, 60_000);
  leases.ack(leases.claim(0, count)!);
  file.close();
}

test("adds, lists, moves and removes subscriptions", LIMIT, async () => {
  using spool = new Spool();
  putDelivered(spool, 4);
  const add = await queue(spool, ["subscriptions", "add", "audit", "--start", "3"]);
  assert.match(add.stdout, /^Added subscription audit, with 2 events\./);
  assert.equal((await queue(spool, ["subscriptions", "add", "audit"])).code, 1);
  await queue(spool, ["subscriptions", "add", "search", "--lag-limit", "1h"]);

  const listed = await json(spool, ["subscriptions", "list"]);
  assert.deepEqual(
    listed.map(({ name, required, depth, lag_limit_seconds }) => [name, required, depth, lag_limit_seconds]),
    [
      ["default", true, 0, null],
      ["audit", true, 2, null],
      ["search", false, 0, 3_600],
    ],
  );
  assert.match((await queue(spool, ["subscriptions"])).stdout, /search +best-effort, 1h/);

  const seek = await queue(spool, ["subscriptions", "seek", "search", "oldest", "--yes"]);
  assert.equal(seek.stdout, "Subscription search goes on from event 1: 4 events, 0 before.\n");
  assert.equal((await json(spool, ["peek", "--subscription", "audit"]))[0]!.id, 3);

  for (const name of ["default", "audit"])
    assert.equal(
      (await queue(spool, ["subscriptions", "remove", name, "--yes"])).code,
      name === "default" ? 0 : 2,
    );
  const missing = await queue(spool, ["peek", "--subscription", "adit"]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /no subscription "adit"; it has "audit"/);
});

test("shows and finds delivered events that are retained", LIMIT, async () => {
  using spool = new Spool();
  putDelivered(spool, 30);
  spool.queue.putMany([{ order: { id: 42 }, note: "übrig" }]);

  const delivered = await json(spool, ["peek", "--delivered", "-n", "2"]);
  assert.deepEqual(
    delivered.map(({ id, state }) => [id, state]),
    [
      [29, "delivered"],
      [30, "delivered"],
    ],
  );
  const idsOf = async (...args: string[]) => (await json(spool, ["find", ...args])).map(({ id }) => id);
  assert.deepEqual(await idsOf('"n":2'), [2, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
  assert.deepEqual(await idsOf('"n":2', "-n", "1"), [2]);
  assert.deepEqual(await idsOf("--field", "n=2"), [2]);
  assert.deepEqual(await idsOf("--field", "order.id=42", "übrig"), [31]);
  assert.equal((await queue(spool, ["find", "nothing"])).code, 1);
  assert.equal((await queue(spool, ["find"])).code, 2);
});

test(
  "purges what all subscriptions wait for and what is retained, or what one waits for",
  LIMIT,
  async () => {
    using spool = new Spool();
    putDelivered(spool, 5);
    await queue(spool, ["subscriptions", "add", "audit", "--start", "oldest"]);
    spool.put(3);
    assert.deepEqual(await json(spool, ["purge", "--yes", "--subscription", "audit"]), [
      { purged: 8, left: 0 },
    ]);
    assert.equal(spool.queue.depth(), 3, "the other one keeps its own");
    assert.deepEqual(await json(spool, ["purge", "--yes"]), [{ purged: 3, left: 0 }]);
    assert.equal((await queue(spool, ["find", "n"])).code, 1, "nothing is left in the file");
  },
);

test(
  "replays delivered events with the same ids, continues after a kill, and can be stopped",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    putDelivered(spool, 40);
    const [dryRun] = await json(spool, ["replay", "--since", "1h", "--dry-run"]);
    assert.deepEqual(
      { ...dryRun, bytes: 0 },
      { subscription: "default", first_id: 1, last_id: 40, events: 40, bytes: 0, left: null },
    );
    assert.equal((await queue(spool, ["replay", "--from", "41"])).code, 1);
    assert.equal((await queue(spool, ["replay"])).code, 2);

    // Nobody sends them while this command is killed.
    await using killed = start("src/commands/queue.ts", [
      "replay",
      "--from",
      "11",
      "--to",
      "30",
      "--directory",
      spool.directory,
    ]);
    await eventually("the replay", async () => (await json(spool, ["subscriptions"]))[0]!.replay_left === 20);
    await stop(killed, "SIGKILL");
    const second = await queue(spool, ["replay", "--since", "1h"]);
    assert.match(second.stderr, /replays events already \(20 are left\)/);

    await using follower = start("src/commands/queue.ts", ["replay", "--directory", spool.directory]);
    await follower.line(/0 of 20/);
    await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
    await publishing(publisher);
    assert.equal(await follower.ended, 0, "it waits for the end");
    assert.deepEqual(collector.acceptedNumbers, numbersFrom(11, 30));
    assert.deepEqual(
      collector.accepted.flatMap(({ eventIds }) => namedIds(eventIds)),
      numbersFrom(11, 30),
    );
    await stop(publisher);

    const stopped = await queue(spool, ["replay", "--stop"]);
    assert.equal(stopped.code, 0);
  },
);
