import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { numbersFrom, type Script, ScriptedCollector } from "../../support/scripted_collector.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000, ...(noSmallDisks !== undefined && { skip: noSmallDisks }) };
/** So that there is a ballast soon. */
const QUICK = { ballastMs: 100 };
const AWAY: Script = () => ({ status: 503, headers: { "Retry-After": "0" } });

/** Puts until the disk is full. Returns how many puts returned, and what the next one threw. */
function putUntilFull(spool: Spool, sizeBytes: number): { put: number; error: EventStorageError } {
  for (let put = 0; ; put++) {
    try {
      spool.put(1, { text: "x".repeat(sizeBytes) });
    } catch (error) {
      assert.ok(error instanceof EventStorageError, String(error));
      return { put, error };
    }
  }
}

function putIfItFits(spool: Spool, count = 1, fields = {}): boolean {
  try {
    spool.put(count, fields);
    return true;
  } catch (error) {
    assert.equal((error as EventStorageError).code, "SQLITE_FULL");
    return false;
  }
}

function deliveredOnce(collector: ScriptedCollector): number[] {
  return [...new Set(collector.acceptedNumbers)].toSorted((a, b) => a - b);
}

for (const sizeBytes of [100, 60_000]) {
  test(
    `drains a disk that puts of ${sizeBytes} bytes have filled, though no publisher ran meanwhile`,
    LIMIT,
    async () => {
      using disk = new SmallDisk(8);
      using spool = new Spool({ directory: disk.path });
      const { put, error } = putUntilFull(spool, sizeBytes);
      assert.equal(error.code, "SQLITE_FULL");
      assert.match(
        error.message,
        /^The disk of the queue file .* is full: \d+ bytes are free.*Free some space/,
      );
      assert.equal(spool.queue.depth(), put, "what was rejected is not there");

      await using collector = await ScriptedCollector.open();
      await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      assert.deepEqual(deliveredOnce(collector), numbersFrom(1, put));
      assert.equal(spool.integrity(), "ok");

      await eventually("room for another event", () => putIfItFits(spool)); // what was delivered is trimmed
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      assert.equal(await stop(publisher), 0);
    },
  );
}

test(
  "drains a disk that somebody else has filled to the last byte while events were waiting",
  LIMIT,
  async () => {
    using disk = new SmallDisk(32);
    using spool = new Spool({ directory: disk.path });
    await using collector = await ScriptedCollector.open();
    collector.script = AWAY;
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "admin.listen": "127.0.0.1:0" };
    await using publisher = spool.quickPublisher(QUICK, settings);
    const admin = await addressOf(publisher);
    await eventually("a ballast", () => spool.hasBallast());
    spool.put(3_000, { text: "x".repeat(1_000) });
    await spool.halt(publisher); // or it may give up its ballast, and empty the -wal, before we look
    disk.fill();
    assert.equal(disk.freeBytes, 0);
    const { put, error } = putUntilFull(spool, 100); // a few fit where the -wal has room
    publisher.signal("SIGCONT");
    assert.equal(error.code, "SQLITE_FULL");

    collector.script = () => ({ status: 200 });
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.deepEqual(deliveredOnce(collector), numbersFrom(1, 3_000 + put));
    assert.equal(collector.acceptedNumbers.length, 3_000 + put, "nothing is sent twice for want of space");

    disk.free();
    spool.put(1);
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    await eventually(
      "a healthy publisher",
      async () => (await fetch(new URL("/health", admin))).status === 200,
    );
    await eventually("a new ballast", () => spool.hasBallast());
    assert.equal(spool.integrity(), "ok");
    assert.equal(await stop(publisher), 0);
  },
);

test("starts on a full disk, in the place of the ballast that the last publisher left", LIMIT, async () => {
  using disk = new SmallDisk(32);
  await using collector = await ScriptedCollector.open();
  using spool = new Spool({ directory: disk.path });
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
  {
    await using publisher = spool.quickPublisher(QUICK, settings);
    await eventually("a ballast", () => spool.hasBallast());
    assert.equal(await stop(publisher), 0);
  }
  spool.put(100);
  spool.close(); // nobody has the file open, and there is no -shm
  disk.fill();

  await using publisher = spool.publisher(settings);
  await publishing(publisher);
  await eventually("all events", () => deliveredOnce(collector).length === 100);
  assert.equal(await stop(publisher), 0);
});

test("says what is wrong when it cannot start on a full disk, with 1, as that passes", LIMIT, async () => {
  using disk = new SmallDisk(4);
  using spool = new Spool({ directory: disk.path });
  spool.put(1);
  spool.close();
  disk.fill();
  await using publisher = spool.publisher({ "collector.hostname": "127.0.0.1:9" });
  assert.equal(await publisher.ended, 1);
  assert.match(
    publisher.stderr.join("\n"),
    /publisher\.ts: The queue file .* the disk is full\. Free some space/,
  );
  assert.equal(publisher.stderr.length, 1);
});

test("gives up retained events before the disk is full, so that they never stop puts", LIMIT, async () => {
  using disk = new SmallDisk(16);
  using spool = new Spool({ directory: disk.path });
  await using collector = await ScriptedCollector.open();
  const settings = {
    "collector.hostname": `127.0.0.1:${collector.port}`,
    "queue.retention": "24h",
    "queue.ballast": "off",
  };
  await using publisher = spool.publisher(settings);
  await publishing(publisher);
  for (let round = 0; round < 60; round++) {
    const text = "x".repeat(1_000);
    await eventually("room", () => putIfItFits(spool, 500, { text })); // a busy machine trims a little later
    await eventually("delivery", () => spool.queue.depth() === 0);
  }
  assert.equal(new Set(collector.acceptedNumbers).size, 30_000);
  assert.equal(spool.integrity(), "ok");
  assert.equal(await stop(publisher), 0);
});
