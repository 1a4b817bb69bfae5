import assert from "node:assert/strict";
import { test } from "node:test";
import type { FsyncPolicy } from "../../../../src/collector/sinks/group_commit.ts";
import { EventStorageError } from "../../../../src/errors.ts";
import { batchOf, numberedBatch, queueUuid } from "../../../support/batches.ts";
import { start } from "../../../support/processes.ts";
import { SINK_KINDS } from "../../../support/sinks.ts";
import { noSmallDisks, SmallDisk } from "../../../support/small_disk.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const SMALL_DISK = { timeout: 300_000, ...(noSmallDisks !== undefined && { skip: noSmallDisks }) };

function numbers(firstId: number, lastId: number): string[] {
  return Array.from({ length: lastId - firstId + 1 }, (_, index) => String(firstId + index));
}

for (const [key, kind] of Object.entries(SINK_KINDS)) {
  for (const fsync of ["always", "interval", "never"] satisfies FsyncPolicy[])
    test(`${kind.name}, fsync ${fsync}: events are stored in order, byte for byte`, async () => {
      using directory = temporaryDirectory();
      await using sink = kind.open(directory.path, fsync);
      assert.deepEqual(await sink.store(batchOf(['{"id":9007199254740993}', '"é\\n"'])), {
        stored: 2,
        duplicates: 0,
      });
      await Promise.all([batchOf([]), batchOf(["3"]), batchOf(["4", "5"])].map((batch) => sink.store(batch)));
      assert.deepEqual(kind.read(directory.path), ['{"id":9007199254740993}', '"é\\n"', "3", "4", "5"]);
    });

  test(`${kind.name}: stored events are dropped when they are sent again, in whatever batches, also after a restart`, async () => {
    using directory = temporaryDirectory();
    {
      await using sink = kind.open(directory.path);
      await sink.store(numberedBatch(1, 10));
      assert.deepEqual(await sink.store(numberedBatch(6, 15)), { stored: 5, duplicates: 5 });
    }
    await using sink = kind.open(directory.path);
    assert.deepEqual(await sink.store(numberedBatch(1, 15)), { stored: 0, duplicates: 15 });
    assert.deepEqual(await sink.store(numberedBatch(15, 17)), { stored: 2, duplicates: 1 });
    assert.deepEqual(kind.read(directory.path), numbers(1, 17));
  });

  test(`${kind.name}: a batch that is sent again while the first is being stored is stored once`, async () => {
    using directory = temporaryDirectory();
    await using sink = kind.open(directory.path, "always");
    const batches = [numberedBatch(1, 5), numberedBatch(1, 5), numberedBatch(4, 8), numberedBatch(9, 9)];
    const stored = await Promise.all(batches.map((batch) => sink.store(batch)));
    assert.deepEqual(
      stored.map(({ duplicates }) => duplicates),
      [0, 5, 2, 0],
    );
    assert.deepEqual(kind.read(directory.path).toSorted(), numbers(1, 9));
  });

  test(`${kind.name}: events without ids are stored each time`, async () => {
    using directory = temporaryDirectory();
    await using sink = kind.open(directory.path);
    for (let time = 0; time < 2; time++) await sink.store(batchOf(["1"]));
    assert.deepEqual(kind.read(directory.path), ["1", "1"]);
  });

  test(`${kind.name}: ids are ignored unless there is one per event`, async () => {
    using directory = temporaryDirectory();
    await using sink = kind.open(directory.path);
    await sink.store(batchOf(["1", "3"], `${queueUuid(1)}:1-100000`));
    assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
  });

  test(`${kind.name}: equal ids of different sources are different, also after a restart`, async () => {
    using directory = temporaryDirectory();
    for (const source of ["other", "the other's name, with / and %"]) {
      await using sink = kind.open(directory.path);
      assert.deepEqual(await sink.store({ ...numberedBatch(1, 3), source }), { stored: 3, duplicates: 0 });
    }
    for (const source of ["other", "the other's name, with / and %"]) {
      await using sink = kind.open(directory.path);
      assert.deepEqual(await sink.store({ ...numberedBatch(2, 4), source }), { stored: 1, duplicates: 2 });
    }
  });

  test(`${kind.name}: a second sink cannot open the same output`, async () => {
    using directory = temporaryDirectory();
    {
      await using _sink = kind.open(directory.path);
      assert.throws(
        () => kind.open(directory.path),
        (error) => error instanceof EventStorageError && error.code === "LOCKED",
      );
    }
    await kind.open(directory.path).close();
  });

  test(`${kind.name}: a second process cannot open the same output`, { timeout: 300_000 }, async () => {
    using directory = temporaryDirectory();
    await using sink = kind.open(directory.path);
    await sink.store(batchOf(["1"]));
    await using second = start("test/support/programs/sink_writer.ts", [key, directory.path, "1", "never"]);
    assert.equal(await second.ended, 1);
    assert.match(
      second.stderr.join("\n"),
      /Another collector uses .*events.* Stop it, or choose another output/,
    );
    await sink.store(batchOf(["2"]));
    assert.deepEqual(kind.read(directory.path), ["1", "2"]);
  });

  test(`${kind.name}: close finishes the batches in flight, and later batches are rejected`, async () => {
    using directory = temporaryDirectory();
    const sink = kind.open(directory.path);
    const begun = sink.store(batchOf(["1"]));
    await sink.close();
    assert.deepEqual(await begun, { stored: 1, duplicates: 0 });
    await assert.rejects(sink.store(batchOf(["2"])), { name: "EventStorageError", code: "CLOSED" });
    await sink.close();
    assert.deepEqual(kind.read(directory.path), ["1"]);
  });

  test(
    `${kind.name}: a full disk stores a whole batch or nothing, and the sink goes on later`,
    SMALL_DISK,
    async () => {
      using disk = new SmallDisk(4);
      await using sink = kind.open(disk.path);
      const text = (id: number): string => `"${id}${"x".repeat(20_000)}"`;
      await sink.store(batchOf([text(1)], `${queueUuid(1)}:1`));
      disk.fill();
      const large = batchOf([text(2), text(3)], `${queueUuid(1)}:2-3`);
      await assert.rejects(
        sink.store(large),
        (error) => error instanceof EventStorageError && /ENOSPC|SQLITE_FULL|SQLITE_IOERR/.test(error.code),
      );
      assert.deepEqual(kind.read(disk.path), [text(1)]);
      disk.free();
      assert.deepEqual(await sink.store(large), { stored: 2, duplicates: 0 });
      assert.deepEqual(await sink.store(large), { stored: 0, duplicates: 2 });
      assert.deepEqual(kind.read(disk.path), [text(1), text(2), text(3)]);
    },
  );
}
