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

/** A directory for `events.jsonl`. */
class OutputDirectory implements Disposable {
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

/** The contents of all files, in order. */
function contents(output: OutputDirectory): string[] {
  return linesFiles(output.directory).map((name) => readFileSync(join(output.directory, name), "utf8"));
}

test("an event with line feeds between its tokens is stored on one line", async () => {
  using output = new OutputDirectory();
  await using sink = output.open();
  await sink.store(batchOf(['{\n"a": 1\n}']));
  assert.equal(output.content, '{ "a": 1 }\n');
});

test("events are appended after the last line of an earlier run", async () => {
  using output = new OutputDirectory("1\n2\n");
  await using sink = output.open();
  await sink.store(batchOf(["3"]));
  assert.equal(output.content, "1\n2\n3\n");
});

for (const [torn, whole] of [
  ['1\n2\n{"id":', "1\n2\n"],
  ['{"id":', ""],
  [`1\n"${"x".repeat(600_000)}`, "1\n"],
] as const) {
  test(`without a journal, an incomplete last line is removed: ${torn.length - whole.length} bytes after ${whole.length}`, async () => {
    using output = new OutputDirectory(torn);
    await using sink = output.open();
    assert.equal(output.content, whole);
    await sink.store(batchOf(["3"]));
    assert.equal(output.content, `${whole}3\n`);
  });
}

test("a batch that a crash cut short is removed whole, and stored when it is sent again", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(numberedBatch(1, 3));
    await sink.store(numberedBatch(4, 9));
  }
  truncateSync(output.path, "1\n2\n3\n4\n5\n".length); // a whole line is the last one
  await using sink = output.open();
  assert.equal(output.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 9)), { stored: 6, duplicates: 3 });
});

test("an incomplete batch without ids is removed", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(batchOf(["1", "2"]));
  }
  truncateSync(output.path, 2);
  await using _sink = output.open();
  assert.equal(output.content, "");
});

test("all complete lines stay when the end of the journal is lost; their events are stored twice at worst", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(numberedBatch(1, 3));
    await sink.store(numberedBatch(4, 6));
  }
  output.journal = output.journal.slice(0, -5);
  await using sink = output.open();
  assert.equal(output.content, "1\n2\n3\n4\n5\n6\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 6)), { stored: 3, duplicates: 3 });
});

for (const [what, damage] of [
  ["is lost", ""],
  ["is of a later version", "eventspool-journal 2 0 0 0\n"],
  ["is zeros", "\0".repeat(4_096)],
] as const)
  test(`all complete lines stay when the journal ${what}`, async () => {
    using output = new OutputDirectory();
    {
      await using sink = output.open();
      await sink.store(numberedBatch(1, 3));
    }
    output.journal = damage;
    await using sink = output.open();
    assert.equal(output.content, "1\n2\n3\n");
    assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
  });

test("the journal is ignored behind a damaged line", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    for (const id of [1, 2, 3]) await sink.store(numberedBatch(id, id));
  }
  output.journal = output.journal.replace(/batch 2 4/, "batch 2 \0");
  await using sink = output.open();
  assert.equal(output.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 2, duplicates: 1 });
});

test("the ids of a file that was emptied are forgotten, so its events can be stored again", async () => {
  using output = new OutputDirectory();
  for (let run = 0; run < 2; run++) {
    await using sink = output.open();
    await sink.store(numberedBatch(10 * run + 1, 10 * run + 3));
  }
  truncateSync(output.path, 0);
  await using sink = output.open();
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
});

test("the sink continues when another program truncates the file, as logrotate with copytruncate does", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(numberedBatch(1, 5));
    truncateSync(output.path, 0);
    await sink.store(numberedBatch(6, 7));
    appendFileSync(output.path, '"by hand"\n');
    await sink.store(numberedBatch(8, 8));
  }
  await using sink = output.open();
  assert.equal(output.content, '6\n7\n"by hand"\n8\n');
  assert.deepEqual(await sink.store(numberedBatch(1, 8)), { stored: 0, duplicates: 8 });
});

test("the journal is rewritten before it grows long", async () => {
  using output = new OutputDirectory();
  const ranges = Array.from({ length: 4_000 }, (_, index) => String(2 * index + 1)); // 20 kB of ids
  {
    await using sink = output.open();
    for (let batch = 0; batch < 120; batch++) {
      const ids = ranges.map((id) => String(Number(id) + batch * 8_000));
      await sink.store(batchOf(Array(4_000).fill("0"), `${queueUuid(batch)}:${ids.join(",")}`));
    }
    assert.ok(output.journal.includes("\nseen "), "it was written anew");
    assert.ok(output.journal.length < 5_000_000, String(output.journal.length));
  }
  await using sink = output.open();
  const again = batchOf(Array(4_000).fill("0"), `${queueUuid(0)}:${ranges.join(",")}`);
  assert.deepEqual(await sink.store(again), { stored: 0, duplicates: 4_000 });
});

test("a file is rotated before it grows beyond its size, and no batch is split", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open({ rotateSizeBytes: 8 });
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
  assert.deepEqual(contents(output), ["1\n2\n3\n4\n", "5\n6\n", "101\n102\n103\n104\n105\n", "106\n"]);
  const names = linesFiles(output.directory).slice(0, -1);
  for (const [index, name] of names.entries())
    assert.match(name, new RegExp(`^events-\\d{8}T\\d{6}Z-00000${index + 1}\\.jsonl$`));
});

test("after a restart, rotated files are numbered on and their ids are known", async () => {
  using output = new OutputDirectory();
  for (let run = 0; run < 3; run++) {
    await using sink = output.open({ rotateSizeBytes: 3 });
    assert.deepEqual(await sink.store(numberedBatch(1, run + 1)), { stored: 1, duplicates: run });
  }
  assert.deepEqual(contents(output), ["1\n", "2\n", "3\n"]);
  assert.deepEqual(
    linesFiles(output.directory).map((name) => /-(\d+)\.jsonl$/.exec(name)?.[1]),
    ["000001", "000002", undefined],
  );
});

test("an old file is rotated even if no events come; an empty file stays", async () => {
  using output = new OutputDirectory();
  await using sink = output.open({ rotateAgeMs: 50 });
  await sleep(100);
  assert.equal(linesFiles(output.directory).length, 1);
  await sink.store(numberedBatch(1, 2));
  await eventually("a rotation", () => linesFiles(output.directory).length === 2);
  assert.deepEqual(contents(output), ["1\n2\n", ""]);
  assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 1, duplicates: 2 });
});

test("each event is stored once after a crash between the two renames of a rotation", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(numberedBatch(1, 3));
  }
  // The journal then has the ids of all stored events, and says nothing about the file, which still exists.
  output.journal = `eventspool-journal 1 0 0 1 0\nseen host ${queueUuid(1)}:1-3\n`;
  await using sink = output.open();
  assert.equal(output.content, "1\n2\n3\n");
  assert.deepEqual(await sink.store(numberedBatch(1, 4)), { stored: 1, duplicates: 3 });
});

test("rotation under load: each event is in one file, in order", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open({ fsync: "always", rotateSizeBytes: 10_000 });
    const batches = Array.from({ length: 400 }, (_, index) => numberedBatch(20 * index + 1, 20 * index + 20));
    await Promise.all(batches.map((batch) => sink.store(batch)));
  }
  const files = contents(output);
  assert.ok(files.length > 3, `${files.length} files`);
  assert.ok(files.every((text) => text.length <= 10_000));
  const ids = files.join("").trimEnd().split("\n").map(Number);
  assert.deepEqual(
    ids,
    Array.from({ length: 8_000 }, (_, index) => index + 1),
  );
});

test("the file that a link points to is rotated, not the link", async () => {
  using output = new OutputDirectory();
  const link = join(output.directory, "link");
  symlinkSync(output.path, link);
  {
    await using sink = new JsonlSink(link, { rotateSizeBytes: 3 });
    for (const id of [1, 2]) await sink.store(numberedBatch(id, id));
    assert.throws(() => output.open(), { code: "LOCKED" });
  }
  assert.deepEqual(contents(output), ["1\n", "2\n"]);
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
  test(`${what} is rejected and not changed`, () => {
    using output = new OutputDirectory(content);
    assert.throws(
      () => output.open(),
      (error) =>
        error instanceof EventStorageError && error.code === "NOT_JSON_LINES" && error.path === output.path,
    );
    assert.equal(output.content, content);
  });

test("another program's file is not changed, even with a journal beside it", async () => {
  using output = new OutputDirectory();
  {
    await using sink = output.open();
    await sink.store(numberedBatch(1, 9));
  }
  writeFileSync(output.path, "root:x:0\n"); // smaller than the journal says, so the journal must not truncate it
  assert.throws(() => output.open(), { code: "NOT_JSON_LINES" });
  assert.equal(output.content, "root:x:0\n");
});

function modeOf(output: OutputDirectory, name: string): number {
  return statSync(join(output.directory, name)).mode & 0o777;
}

test("an existing file keeps its mode", async () => {
  using output = new OutputDirectory("1\n");
  chmodSync(output.path, 0o664);
  await using _sink = output.open();
  assert.equal(modeOf(output, "events.jsonl"), 0o664);
  assert.equal(modeOf(output, "events.jsonl.journal"), 0o600);
});

test("a sink opens while another process reads its lock file, and makes that private", async () => {
  using output = new OutputDirectory();
  const lock = `${output.path}-lock`;
  writeFileSync(lock, "", { mode: 0o644 });
  const reader = openShell(lock, { isReadOnly: true });
  using _closing = new DisposableStack();
  _closing.defer(() => void reader.close());
  reader.exec("BEGIN; SELECT * FROM sqlite_schema");
  await using sink = output.open();
  assert.deepEqual(await sink.store(numberedBatch(1, 1)), { stored: 1, duplicates: 0 });
  assert.equal(modeOf(output, "events.jsonl-lock"), 0o600);
  assert.throws(() => output.open(), { code: "LOCKED" });
});

test("links under the names of journal and lock are not followed", async () => {
  using output = new OutputDirectory();
  const precious = join(output.directory, "precious");
  for (const name of ["events.jsonl-lock", "events.jsonl.journal", "events.jsonl.journal.new"]) {
    writeFileSync(precious, "precious");
    symlinkSync(precious, join(output.directory, name));
    try {
      await using sink = output.open();
      await sink.store(numberedBatch(1, 1));
    } catch (error) {
      assert.equal((error as EventStorageError).code, "NOT_A_FILE", name);
    }
    assert.equal(readFileSync(precious, "utf8"), "precious", name);
    rmSync(join(output.directory, name), { force: true });
  }
});

test("a file with two hard links is rejected: a collector could write to it by each", () => {
  using output = new OutputDirectory("1\n");
  linkSync(output.path, join(output.directory, "other.jsonl"));
  assert.throws(() => output.open(), { name: "EventStorageError", code: "HARD_LINKED" });
  assert.equal(output.content, "1\n");
});

test("the error names the file that cannot be opened, and why", () => {
  using output = new OutputDirectory("");
  const missing = join(output.path, "events.jsonl");
  assert.throws(() => new JsonlSink(missing), { name: "EventStorageError", path: missing });
  assert.throws(() => new JsonlSink(join(output.directory, "no", "e.jsonl")), { code: "ENOENT" });
  assert.throws(() => new JsonlSink("/dev/null"), { code: "NOT_A_FILE" });
});
