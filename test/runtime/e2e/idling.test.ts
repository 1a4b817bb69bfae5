import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

test("is woken by each put, and does not wait for its next look at the file", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "batch.max_age": "0ms" };
  await using publisher = spool.quickPublisher({ pollMs: 3_600_000 }, settings);
  await publishing(publisher);
  for (let put = 1; put <= 25; put++) {
    await sleep(60); // it is idle by then, mostly
    spool.put(1);
    await eventually(`event ${put}`, () => collector.acceptedNumbers.length === put);
  }
});

const IDLE_MS = 1_000;
const TICK_MS = 10; // sysconf(_SC_CLK_TCK) is 100 on every Linux that these runtimes run on

test("uses next to no processor time once it is idle", {
  ...LIMIT,
  skip: existsSync("/proc/self/stat") ? false : "there is no /proc to read processor times from",
}, async () => {
  using spool = new Spool();
  await using publisher = spool.publisher({
    "collector.hostname": "127.0.0.1:9",
    "admin.listen": "127.0.0.1:0",
  });
  await publishing(publisher);
  await eventually("a second in which it uses less than a tenth of one", async () => {
    const beforeMs = processorTimeMs(publisher.child.pid);
    await sleep(IDLE_MS);
    return processorTimeMs(publisher.child.pid) - beforeMs < IDLE_MS / 10;
  });
});

/** User and system time of a process so far: fields 14 and 15 of proc(5)'s stat, after a name that may hold spaces. */
function processorTimeMs(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

test("frees the space of a delivered backlog once it is idle, while a service puts", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  spool.put(20_000, { text: "x".repeat(500) });
  const sizeOf = (suffix: string): number => statSync(spool.queue.file + suffix).size;
  assert.ok(sizeOf("") + sizeOf("-wal") > 10_000_000);
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
  await using publisher = spool.quickPublisher({ compactMs: 200 }, settings);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  await eventually("a -wal that was given back", () => sizeOf("-wal") < 100_000);
  await eventually("a file that was given back", () => sizeOf("") < 100_000);
  spool.put(10);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(new Set(collector.acceptedNumbers).size, 20_010);
  assert.equal(await stop(publisher), 0);
});
