import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import Database from "better-sqlite3";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 300_000 };

/** A way to break a queue's file, and what is said of it. */
interface Breakage {
  readonly name: string;
  breakIt(file: string): void;
  readonly code: string;
  readonly reason: RegExp;
}

const BREAKAGES: readonly Breakage[] = [
  {
    name: "is empty",
    breakIt: (file) => truncateSync(file),
    code: "EMPTY",
    reason: /is empty: it was truncated/,
  },
  {
    name: "is cut off in its header",
    breakIt: (file) => truncateSync(file, 50),
    code: "SQLITE_CORRUPT",
    reason: /is damaged/,
  },
  {
    name: "is cut off after a page",
    breakIt: (file) => truncateSync(file, 4_096),
    code: "SQLITE_CORRUPT",
    reason: /is damaged/,
  },
  {
    name: "holds random bytes",
    breakIt: (file) => writeFileSync(file, randomBytes(50_000)),
    code: "SQLITE_NOTADB",
    reason: /is not an SQLite database/,
  },
  {
    name: "is another program's database",
    breakIt: (file) => {
      rmSync(file);
      new Database(file).exec("CREATE TABLE account (id INTEGER)").close();
    },
    code: "NOT_A_QUEUE",
    reason: /another program's SQLite database/,
  },
  {
    name: "is of a newer eventspool",
    breakIt: (file) => {
      const db = new Database(file);
      db.exec("UPDATE eventspool_schema SET version = 99");
      db.close();
    },
    code: "NEWER_SCHEMA",
    reason: /has schema version 99, and this eventspool knows versions up to \d+: upgrade it/,
  },
  {
    name: "is a directory",
    breakIt: (file) => {
      rmSync(file);
      mkdirSync(file);
    },
    code: "NOT_A_QUEUE",
    reason: /is not a regular file/,
  },
  {
    name: "is a pipe",
    breakIt: (file) => {
      rmSync(file);
      spawnSync("mkfifo", [file]);
    },
    code: "NOT_A_QUEUE",
    reason: /is not a regular file/,
  },
  {
    name: "is a link that leads nowhere",
    breakIt: (file) => {
      rmSync(file);
      symlinkSync(`${file}-nowhere`, file);
    },
    code: "SQLITE_CANTOPEN",
    reason: /cannot be opened/,
  },
];

for (const { name, breakIt, code, reason } of BREAKAGES) {
  test(`rejects a file that ${name}, in one line, and leaves it as it is`, LIMIT, async () => {
    using spool = new Spool();
    spool.put(100, { text: "x".repeat(300) });
    const { file } = spool.queue;
    spool.close();
    breakIt(file);
    const before = contentOf(file);

    assert.throws(
      () => new EventQueue("main", serializeJsonEvent, { directory: spool.directory }),
      (error) => {
        assert.ok(error instanceof EventStorageError, String(error));
        assert.equal(error.code, code);
        assert.match(error.message, reason);
        return true;
      },
    );
    await using publisher = spool.publisher({ "collector.hostname": "127.0.0.1:9" });
    assert.equal(await publisher.ended, 2);
    assert.match(publisher.stderr[0] ?? "", reason);
    assert.equal(publisher.stderr.length, 1, publisher.stderr.join("\n"));

    await using check = start("src/commands/queue.ts", ["check", "--directory", spool.directory]);
    assert.ok([1, 2].includes((await check.ended) as number));
    assert.match(
      [...check.stdout, ...check.stderr].join("\n"),
      reason.source.includes("opened") ? /is a link to a file that does not exist/ : reason,
    );
    assert.doesNotMatch([...check.stdout, ...check.stderr].join("\n"), /^\s+at /m, "no stack");
    assert.deepEqual(contentOf(file), before);
  });
}

/** Its bytes, where it is a file. */
function contentOf(file: string): Buffer | undefined {
  const entry = statSync(file, { throwIfNoEntry: false });
  return entry?.isFile() ? readFileSync(file) : undefined;
}

test(
  "rejects an empty file with a -wal, where a new beginning would delete what is in the -wal",
  LIMIT,
  () => {
    using spool = new Spool();
    using copy = new Spool();
    copy.close();
    spool.put(10);
    for (const suffix of ["", "-wal"]) cpSync(spool.queue.file + suffix, copy.queue.file + suffix);
    truncateSync(copy.queue.file);
    const wal = readFileSync(`${copy.queue.file}-wal`);

    assert.throws(
      () => new EventQueue("main", serializeJsonEvent, { directory: copy.directory }),
      (error) => error instanceof EventStorageError && error.code === "EMPTY",
    );
    assert.deepEqual(readFileSync(`${copy.queue.file}-wal`), wal);
  },
);

test("takes a file whose -shm is gone, and a -wal of random bytes for none", LIMIT, () => {
  using spool = new Spool();
  spool.put(10);
  const { file } = spool.queue;
  spool.close();
  writeFileSync(`${file}-wal`, randomBytes(100_000));
  writeFileSync(`${file}-shm`, randomBytes(32_768));

  using queue = new EventQueue("main", serializeJsonEvent, { directory: spool.directory });
  assert.equal(queue.depth(), 10);
});

const AS_NOBODY = {
  ...LIMIT,
  skip: process.platform !== "linux" || process.getuid?.() !== 0 ? "only root can be somebody else" : false,
};

/** Runs the queue tool as a user who may do nothing. */
function asNobody(args: readonly string[]): { code: number | null; text: string } {
  const command = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath];
  const run = process.versions.deno === undefined ? [] : ["run", "-A", "--no-check"];
  const tool = new URL("../../../src/commands/queue.ts", import.meta.url).pathname;
  const { status, stdout, stderr } = spawnSync("setpriv", [...command, ...run, tool, ...args], {
    encoding: "utf8",
    input: '{"n":1}\n',
    env: { ...process.env, HOME: "/tmp", DENO_DIR: "/tmp/deno-of-nobody" },
  });
  return { code: status, text: stdout + stderr };
}

test("says whose file it is to a user who may not use it", AS_NOBODY, (t) => {
  using spool = new Spool();
  spool.put(1);
  spool.close();
  chmodSync(spool.directory, 0o755);
  const probe = asNobody(["--version"]);
  if (probe.code !== 0) return t.skip("somebody else cannot run this runtime here");

  for (const verb of ["put", "depth"]) {
    const { code, text } = asNobody([verb, "--directory", spool.directory]);
    assert.equal(code, 2, text);
    assert.match(
      text,
      /queue\.ts (?:put|depth): The queue file .* (may not|cannot be opened).*check (its owner and mode|that)/,
    );
    assert.doesNotMatch(text, /^\s+at /m);
  }
});

test("reports a directory that was removed while it runs, and still ends well", LIMIT, async () => {
  using home = temporaryDirectory();
  const directory = join(home.path, "queue");
  mkdirSync(directory);
  using spool = new Spool({ directory });
  await using collector = await ScriptedCollector.open();
  const settings = { "collector.hostname": `127.0.0.1:${collector.port}`, "admin.listen": "127.0.0.1:0" };
  await using publisher = spool.publisher(settings);
  const health = new URL("/health", await addressOf(publisher));
  await publishing(publisher);
  await eventually("an end of the directory", () => {
    try {
      rmSync(spool.directory, { recursive: true });
      return true;
    } catch {
      return false; // it is not empty: the publisher has just shown itself there
    }
  });

  await eventually("a failing publisher", async () => (await fetch(health)).status === 503);
  const { reasons, last_error: error } = (await (await fetch(health)).json()) as {
    reasons: string[];
    last_error: { message: string };
  };
  assert.match(reasons.join(), /the queue file fails/);
  assert.match(error.message, /(was removed or replaced while it was open|cannot be synced)/);
  assert.throws(
    () => spool.put(1),
    (thrown) => thrown instanceof EventStorageError && thrown.code === "MOVED",
  );
  assert.equal(await stop(publisher), 0);
});
