import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { ACCEPT, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { openShell } from "../../support/shell.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";
import { type Counts, countUp, type Fault, sumOf } from "./fault.ts";

const MIB = 1_048_576;

/** How much a publisher's memory may grow while its collector is down, in bytes. */
const MAX_GROWTH_BYTES = 10 * MIB;

/** The -wal stays below this while nothing is settled: the publisher checkpoints every second. */
const MAX_WAL_BYTES = 40 * MIB;

/** After a long outage the next request would be a minute away. */
const QUICK = { backoffMaxMs: 1_000 };

/** From so many seconds on, growth means a leak, and not that a runtime warms up. */
const MEASURED_FROM_S = 30;

/** The queue is full for a while: puts are rejected, for next to nothing, and are counted. */
const FULL: Fault = {
  name: "the queue is full (rounds: seconds)",
  rounds: 60,
  quickRounds: 2,
  async run(seconds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = () => ({ status: 503 });
    spool.cap(100);
    spool.put(100);
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "admin.listen": "127.0.0.1:0" };
    await using publisher = spool.quickPublisher(QUICK, settings);
    const depth = new URL("/depth", await addressOf(publisher));
    const args = [spool.directory, String(seconds)];
    await using producer = start("test/support/programs/rejected_producer.ts", args);
    assert.equal(await producer.ended, 0, producer.stderr.join("\n"));
    const { rejected, grownBytes } = JSON.parse(producer.stdout[0]!) as {
      rejected: number;
      grownBytes: number;
    };
    assert.ok(grownBytes < MAX_GROWTH_BYTES || seconds < MEASURED_FROM_S, `it grew by ${grownBytes} bytes`);
    const told = (await (await fetch(depth)).json()) as { rejected_puts: { full: number } };
    assert.equal(told.rejected_puts.full, rejected, "each rejection is counted, and told by /depth");

    collector.script = ACCEPT;
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(await stop(publisher), 0);
    return countUp(numbersFrom(1, 100), collector);
  },
};

/** The collector is down all the while, and events come in. */
const DOWN: Fault = {
  name: "the collector is down (rounds: seconds)",
  rounds: 60,
  quickRounds: 2,
  async run(seconds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = () => ({ status: 503, headers: { "Retry-After": "0" } });
    const args = [spool.directory, "1", "1000"];
    await using producer = start("test/support/programs/reporting_producer.ts", args);
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
    await using publisher = spool.quickPublisher(QUICK, settings);
    await publishing(publisher);
    await sleep((seconds * 1_000) / 4); // warms up
    const before = rssOf(publisher);
    await sleep((seconds * 3_000) / 4);
    const grownBytes = rssOf(publisher) - before;
    assert.ok(grownBytes <= MAX_GROWTH_BYTES || seconds < MEASURED_FROM_S, `it grew by ${grownBytes} bytes`);
    const walBytes = statSync(`${spool.queue.file}-wal`).size;
    assert.ok(walBytes <= MAX_WAL_BYTES, `the -wal has ${walBytes} bytes`);

    await stop(producer);
    collector.script = ACCEPT;
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(await stop(publisher), 0);
    return countUp(producer.stdout.map(Number), collector);
  },
};

function rssOf({ child }: Program): number {
  if (process.platform !== "linux") return 0;
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1_024;
}

/** Whatever is beside the way of the events may fail. */
const BESIDE: Fault = {
  name: "statsd is down, the log's reader is gone, the admin port is flooded",
  rounds: 10,
  quickRounds: 1,
  async run(rounds) {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    await using publisher = spool.publisher(
      {
        "collector.hostname": `127.0.0.1:${collector.port}`,
        "admin.listen": "127.0.0.1:0",
        "metrics.endpoint": "127.0.0.1:9",
        "metrics.namespace": "events",
      },
      ["--debug"],
    );
    const { port } = await addressOf(publisher);
    await publishing(publisher);
    publisher.child.stderr?.destroy();
    const flood = Array.from({ length: 200 }, () => connect(Number(port), "127.0.0.1").on("error", () => {}));
    for (const socket of flood) socket.write("GET /health HTTP/1.1\r\nX-");
    for (let round = 0; round < rounds; round++) {
      spool.put(100);
      await eventually("an empty queue", () => spool.queue.depth() === 0);
    }
    assert.equal(await stop(publisher), 0);
    for (const socket of flood) socket.destroy();
    return countUp(numbersFrom(1, 100 * rounds), collector);
  },
};

/** The disk fills up to the last byte while events are on their way, and has room again. */
async function fillDisk(): Promise<Counts> {
  using disk = new SmallDisk(24);
  using spool = new Spool({ directory: disk.path });
  await using collector = await ScriptedCollector.open();
  const args = [spool.directory, "1", "2000"];
  await using producer = start("test/support/programs/reporting_producer.ts", args);
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
  await using publisher = spool.quickPublisher({ ...QUICK, ballastMs: 100 }, settings);
  await eventually("a ballast", () => spool.hasBallast());
  collector.script = () => ({ status: 503, headers: { "Retry-After": "0" } });
  await sleep(300);
  await spool.halt(publisher); // or what it gives up may be room for puts for a long time
  const reader = openShell(spool.queue.file);
  reader.exec("BEGIN; SELECT count(*) FROM eventspool_lease"); // so that the -wal does not begin anew, and puts need new space
  disk.fill();
  await producer.line(/^SQLITE_FULL$/);
  reader.close();
  publisher.signal("SIGCONT");
  collector.script = ACCEPT;
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  disk.free();
  const told = producer.stdout.length;
  await eventually("puts that go on", () => producer.stdout.slice(told).some((line) => /^\d+$/.test(line)));
  await stop(producer);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(spool.integrity(), "ok");
  assert.equal(await stop(publisher), 0);
  const put = producer.stdout.filter((line) => /^\d+$/.test(line)).map(Number);
  return countUp(put, collector);
}

const DISK: Fault = {
  name: "the disk is full while events are put, claimed and acked",
  rounds: 5,
  quickRounds: 1,
  skip: noSmallDisks,
  async run(rounds) {
    const counts: Counts[] = [];
    for (let round = 0; round < rounds; round++) counts.push(await fillDisk());
    return sumOf(counts);
  },
};

export const SURROUNDINGS: readonly Fault[] = [FULL, DOWN, BESIDE, DISK];
