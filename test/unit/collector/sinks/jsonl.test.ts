import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { JsonlSink, type JsonlSinkOptions } from "../../../../src/collector/sinks/jsonl.ts";
import { EventStorageError } from "../../../../src/errors.ts";
import { batchOf, numberedBatch, queueUuid } from "../../../support/batches.ts";
import { eventually } from "../../../support/eventually.ts";
import { openShell } from "../../../support/shell.ts";
import { linesFiles } from "../../../support/sinks.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

/** A directory with `events.jsonl` in it, or to come. */
class Place implements Disposable {
  readonly #directory = temporaryDirectory();

  constructor(content?: string) {
    if (content !== undefined) writeFileSync(this.path, content);
  }

  get directory(): string {
    return this.#directory.path;
  }

  get path(): string {
    return join(this.directory, "events.jsonl");
  }

  get content(): string {
    return readFileSync(this.path, "utf8");
  }

  get journal(): string {
    return readFileSync(`${this.path}.journal`, "utf8");
  }

  set journal(text: string) {
    writeFileSync(`${this.path}.journal`, text);
  }

  open(options: JsonlSinkOptions = {}): JsonlSink {
    return new JsonlSink(this.path, { fsync: "never", ...options });
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

/** What files hold, in order. */
function contents(place: Place): string[] {
  return linesFiles(place.directory).map((name) => readFileSync(join(place.directory, name), "utf8"));
}

test("keeps an event with line feeds between its tokens on one line", async () => {
  using place = new Place();
  await using sink = place.open();
  await sink.store(batchOf(['{\n"a": 1\n}']));
  assert.equal(place.content, '{ "a": 1 }\n');
});

test("goes on after the last line of an earlier run", async () => {
  using place = new Place("1\n2\n");
  await using sink = place.open();
  await sink.store(batchOf(["3"]));
  assert.equal(place.content, "1\n2\n3\n");
});

for (const [torn, whole] of [
  ['1\n2\n{"id":', "1\n2\n"],
  ['{"id":', ""],
  [`1\n"${"x".repeat(600_000)}`, "1\n"],
] as const) {
  test(`without a journal, cuts off a torn last line of ${torn.length - whole.length} bytes after ${whole.length}`, async () => {
    using place = new Place(torn);
    await using sink = place.open();
    assert.equal(place.content, whole);
    await sink.store(batchOf(["3"]));
    assert.equal(place.content, `${whole}3\n`);
  });
}

test("cuts off all of a batch that a crash has torn, and then keeps it", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(numberedBatch(1, 3));
    await sink.store(numberedBatch(4, 9));
  }
  truncateSync(place.path, "1\n2\n3\n4\n5\n".length); // a whole line is the last one
  await using sink = place.open();
  assert.equal(place.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 9)), { stored: 6, duplicates: 3 });
});

test("cuts off a torn batch that had no ids", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(batchOf(["1", "2"]));
  }
  truncateSync(place.path, 2);
  await using _sink = place.open();
  assert.equal(place.content, "");
});

test("keeps all whole lines when the end of the journal was lost, and their events twice at worst", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(numberedBatch(1, 3));
    await sink.store(numberedBatch(4, 6));
  }
  place.journal = place.journal.slice(0, -5);
  await using sink = place.open();
  assert.equal(place.content, "1\n2\n3\n4\n5\n6\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 6)), { stored: 3, duplicates: 3 });
});

for (const [what, damage] of [
  ["is lost", ""],
  ["is of a later version", "eventspool-journal 2 0 0 0\n"],
  ["is zeros", "\0".repeat(4_096)],
] as const)
  test(`keeps all whole lines when the journal ${what}`, async () => {
    using place = new Place();
    {
      await using sink = place.open();
      await sink.store(numberedBatch(1, 3));
    }
    place.journal = damage;
    await using sink = place.open();
    assert.equal(place.content, "1\n2\n3\n");
    assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
  });

test("reads nothing of the journal behind a line that is damaged", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    for (const id of [1, 2, 3]) await sink.store(numberedBatch(id, id));
  }
  place.journal = place.journal.replace(/batch 2 4/, "batch 2 \0");
  await using sink = place.open();
  assert.equal(place.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 2, duplicates: 1 });
});

test("forgets the ids of a file that was taken away, so that none of them is lost", async () => {
  using place = new Place();
  for (let run = 0; run < 2; run++) {
    await using sink = place.open();
    await sink.store(numberedBatch(10 * run + 1, 10 * run + 3));
  }
  truncateSync(place.path, 0);
  await using sink = place.open();
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
});

test("goes on when somebody empties the file meanwhile, as logrotate's copytruncate does", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(numberedBatch(1, 5));
    truncateSync(place.path, 0);
    await sink.store(numberedBatch(6, 7));
    appendFileSync(place.path, '"by hand"\n');
    await sink.store(numberedBatch(8, 8));
  }
  await using sink = place.open();
  assert.equal(place.content, '6\n7\n"by hand"\n8\n');
  assert.deepEqual(await sink.store(numberedBatch(1, 8)), { stored: 0, duplicates: 8 });
});

test("writes its journal anew before it grows long", async () => {
  using place = new Place();
  const ranges = Array.from({ length: 4_000 }, (_, index) => String(2 * index + 1)); // 20 kB of ids
  {
    await using sink = place.open();
    for (let batch = 0; batch < 120; batch++) {
      const ids = ranges.map((id) => String(Number(id) + batch * 8_000));
      await sink.store(batchOf(Array(4_000).fill("0"), `${queueUuid(batch)}:${ids.join(",")}`));
    }
    assert.ok(place.journal.includes("\nseen "), "it was written anew");
    assert.ok(place.journal.length < 5_000_000, String(place.journal.length));
  }
  await using sink = place.open();
  const again = batchOf(Array(4_000).fill("0"), `${queueUuid(0)}:${ranges.join(",")}`);
  assert.deepEqual(await sink.store(again), { stored: 0, duplicates: 4_000 });
});

test("rotates before a file grows beyond its size, and never splits a batch", async () => {
  using place = new Place();
  {
    await using sink = place.open({ rotateSizeBytes: 8 });
    await Promise.all(
      [
        [1, 3],
        [4, 4],
        [5, 6],
        [101, 105],
        [106, 106],
      ].map(([first, last]) => sink.store(numberedBatch(first!, last!))),
    );
  }
  assert.deepEqual(contents(place), ["1\n2\n3\n4\n", "5\n6\n", "101\n102\n103\n104\n105\n", "106\n"]);
  const names = linesFiles(place.directory).slice(0, -1);
  for (const [index, name] of names.entries())
    assert.match(name, new RegExp(`^events-\\d{8}T\\d{6}Z-00000${index + 1}\\.jsonl$`));
});

test("counts rotated files on after a restart, and knows the ids that they hold", async () => {
  using place = new Place();
  for (let run = 0; run < 3; run++) {
    await using sink = place.open({ rotateSizeBytes: 3 });
    assert.deepEqual(await sink.store(numberedBatch(1, run + 1)), { stored: 1, duplicates: run });
  }
  assert.deepEqual(contents(place), ["1\n", "2\n", "3\n"]);
  assert.deepEqual(
    linesFiles(place.directory).map((name) => /-(\d+)\.jsonl$/.exec(name)?.[1]),
    ["000001", "000002", undefined],
  );
});

test("rotates a file that is old, also when nothing more comes; one without events stays", async () => {
  using place = new Place();
  await using sink = place.open({ rotateAgeMs: 50 });
  await sleep(100);
  assert.equal(linesFiles(place.directory).length, 1);
  await sink.store(numberedBatch(1, 2));
  await eventually("a rotation", () => linesFiles(place.directory).length === 2);
  assert.deepEqual(contents(place), ["1\n2\n", ""]);
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 1, duplicates: 2 });
});

test("keeps each event once over a crash between the two renames of a rotation", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(numberedBatch(1, 3));
  }
  // What the journal says then: all that was kept, and nothing of the file, which is still there.
  place.journal = `eventspool-journal 1 0 0 1 0\nseen host ${queueUuid(1)}:1-3\n`;
  await using sink = place.open();
  assert.equal(place.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 4)), { stored: 1, duplicates: 3 });
});

test("rotates under load: each event is in one file, in order", async () => {
  using place = new Place();
  {
    await using sink = place.open({ fsync: "always", rotateSizeBytes: 10_000 });
    const batches = Array.from({ length: 400 }, (_, index) => numberedBatch(20 * index + 1, 20 * index + 20));
    await Promise.all(batches.map((batch) => sink.store(batch)));
  }
  const files = contents(place);
  assert.ok(files.length > 3, `${files.length} files`);
  assert.ok(files.every((text) => text.length <= 10_000));
  const ids = files.join("").trimEnd().split("\n").map(Number);
  assert.deepEqual(
    ids,
    Array.from({ length: 8_000 }, (_, index) => index + 1),
  );
});

test("rotates the file that a link points to", async () => {
  using place = new Place();
  const link = join(place.directory, "link");
  symlinkSync(place.path, link);
  {
    await using sink = new JsonlSink(link, { rotateSizeBytes: 3 });
    for (const id of [1, 2]) await sink.store(numberedBatch(id, id));
    assert.throws(() => place.open(), { code: "LOCKED" });
  }
  assert.deepEqual(contents(place), ["1\n", "2\n"]);
});

for (const [what, content] of [
  ["a file without lines", "x".repeat(1_048_577)],
  ["a SQLite database", "SQLite format 3\0\n x"],
  ["a configuration file", "[event-collector]\nlisten = 127.0.0.1:0\n"],
  ["a JSON document of several lines", '{\n  "name": "x"\n}\n'],
  ["a JSON document without a line end", '{"name":"x"}'],
  ["a password without a line end", "hunter2"],
  ["JSON lines that end in another text", '{"a":1}\n{"a":2}\nremember the milk'],
  ["JSON lines with a last line that is not JSON", '{"a":1}\nremember the milk\n'],
  ["an empty line", "\n"],
  ["bytes", "\0\0\0\0"],
] as const)
  test(`leaves ${what} as it is`, () => {
    using place = new Place(content);
    assert.throws(
      () => place.open(),
      (error) =>
        error instanceof EventStorageError && error.code === "NOT_JSON_LINES" && error.path === place.path,
    );
    assert.equal(place.content, content);
  });

test("leaves another file as it is though there is a journal beside it", async () => {
  using place = new Place();
  {
    await using sink = place.open();
    await sink.store(numberedBatch(1, 9));
  }
  writeFileSync(place.path, "root:x:0\n"); // smaller than what the journal tells of: it would be cut
  assert.throws(() => place.open(), { code: "NOT_JSON_LINES" });
  assert.equal(place.content, "root:x:0\n");
});

function modeOf(place: Place, name: string): number {
  return statSync(join(place.directory, name)).mode & 0o777;
}

test("leaves the mode of a file that is there", async () => {
  using place = new Place("1\n");
  chmodSync(place.path, 0o664);
  await using _sink = place.open();
  assert.equal(modeOf(place, "events.jsonl"), 0o664);
  assert.equal(modeOf(place, "events.jsonl.journal"), 0o600);
});

test("opens while somebody reads its lock, which is nobody else's from then on", async () => {
  using place = new Place();
  const lock = `${place.path}-lock`;
  writeFileSync(lock, "", { mode: 0o644 });
  const reader = openShell(lock, { isReadOnly: true });
  using _closing = new DisposableStack();
  _closing.defer(() => void reader.close());
  reader.exec("BEGIN; SELECT * FROM sqlite_schema");
  await using sink = place.open();
  assert.deepEqual(await sink.store(numberedBatch(1, 1)), { stored: 1, duplicates: 0 });
  assert.equal(modeOf(place, "events.jsonl-lock"), 0o600);
  assert.throws(() => place.open(), { code: "LOCKED" });
});

test("follows no link in the names that it makes up itself", async () => {
  using place = new Place();
  const precious = join(place.directory, "precious");
  for (const name of ["events.jsonl-lock", "events.jsonl.journal", "events.jsonl.journal.new"]) {
    writeFileSync(precious, "precious");
    symlinkSync(precious, join(place.directory, name));
    try {
      await using sink = place.open();
      await sink.store(numberedBatch(1, 1));
    } catch (error) {
      assert.equal((error as EventStorageError).code, "NOT_A_FILE", name);
    }
    assert.equal(readFileSync(precious, "utf8"), "precious", name);
    rmSync(join(place.directory, name), { force: true });
  }
});

test("rejects a file of two names, by each of which a collector could write to it", () => {
  using place = new Place("1\n");
  linkSync(place.path, join(place.directory, "other.jsonl"));
  assert.throws(() => place.open(), { name: "EventStorageError", code: "HARD_LINKED" });
  assert.equal(place.content, "1\n");
});

test("says which file cannot be opened", () => {
  using place = new Place("");
  const missing = join(place.path, "events.jsonl");
  assert.throws(() => new JsonlSink(missing), { name: "EventStorageError", path: missing });
  assert.throws(() => new JsonlSink(join(place.directory, "no", "e.jsonl")), { code: "ENOENT" });
  assert.throws(() => new JsonlSink("/dev/null"), { code: "NOT_A_FILE" });
});
