import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Host, ROLLED_BACK } from "../../support/host.ts";
import { stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };

test(
  "a queue and a copy of it run at once: each event is stored, and once unless it was in both",
  LIMIT,
  async () => {
    await using host = new Host();
    await host.startCollector();
    host.put(5);
    const directory = join(host.directory, "copy");
    mkdirSync(directory);
    copyFileSync(host.file, join(directory, "events-main.db"));
    await using other = await host.publisher(directory);
    await using original = await host.publisher();
    await host.drained(); // so no batch has both what waited in both files and what one of them got later
    await host.drained(directory);
    for (let round = 0; round < 5; round++) {
      host.put(20);
      host.put(20, { directory });
    }
    await host.drained();
    await host.drained(directory);
    assert.equal(await stop(other), 0);
    assert.equal(await stop(original), 0);
    host.assertStored({ twice: 5 }); // the original cannot know of its copy, which may have been first
  },
);

test(
  "several publishers with many batches in flight find out that the file was rolled back",
  LIMIT,
  async () => {
    await using host = new Host();
    const rollBack = await deliveredWithBackup(host, 1_000, "x".repeat(2_000));

    rollBack();
    host.put(1_500, { text: "y".repeat(2_000) });
    const log = await host.drain(3);
    host.assertStored({ twice: 1_500 });
    assert.match(log, ROLLED_BACK);
    host.put(100);
    assert.doesNotMatch(await host.drain(), ROLLED_BACK);
  },
);

test(
  "a rollback is detected although the collector was unreachable when the batch was first sent",
  LIMIT,
  async () => {
    await using host = new Host();
    const rollBack = await deliveredWithBackup(host, 50);
    await host.stopCollector();

    rollBack();
    host.put(40);
    await using publisher = await host.publisher();
    await publisher.line(/The destination is unavailable/);
    await host.startCollector();
    await publisher.line(ROLLED_BACK);
    await host.drained();
    assert.equal(await stop(publisher), 0);
    host.assertStored({ twice: 40 });
  },
);

/** Delivers 10 events, copies the queue's file, and delivers `count` more. What it returns puts the copy back. */
async function deliveredWithBackup(host: Host, count: number, text: string = ""): Promise<() => void> {
  await host.startCollector();
  host.put(10);
  await host.drain();
  const bytes = readFileSync(host.file);
  host.put(count, { text });
  await host.drain();
  return () => writeFileSync(host.file, bytes);
}
