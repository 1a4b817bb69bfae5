import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { EpochTable } from "../../../src/storage/epochs.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { type Program, start } from "../../support/processes.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { openShell } from "../../support/shell.ts";
import { addressOf, publishing, type Settings, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 120_000 };
const SIDE_FILES = ["-wal", "-shm"];
const ROLLED_BACK = /The queue file was rolled back/;

/** A host: a queue, its publishers and a collector. Nothing in this process keeps the queue open. */
class Host implements AsyncDisposable {
  readonly directory: string;
  readonly collected: string;
  readonly #temporary = temporaryDirectory();
  #collector: Program | undefined;
  #listen = "127.0.0.1:0";
  #put = 0;

  constructor() {
    this.directory = join(this.#temporary.path, "queue");
    this.collected = join(this.#temporary.path, "collected.jsonl");
    mkdirSync(this.directory);
  }

  get file(): string {
    return join(this.directory, "events-main.db");
  }

  async startCollector(): Promise<void> {
    const config = this.#write("collector.ini", "event-collector", {
      listen: this.#listen,
      output: this.collected,
      [`key.${KEY.name}`]: KEY_BASE64,
    });
    this.#collector = start("src/commands/collector.ts", [config]);
    this.#listen = (await addressOf(this.#collector)).host;
  }

  async stopCollector(): Promise<void> {
    if (this.#collector !== undefined) await stop(this.#collector);
  }

  /** Starts a publisher of the queue, or of that in another directory. */
  async publisher(directory: string = this.directory): Promise<Program> {
    const config = this.#write("publisher.ini", "event-publisher:main", {
      "collector.hostname": this.#listen,
      "collector.scheme": "http",
      "collector.version": "2j",
      "key.name": KEY.name,
      "key.secret": KEY_BASE64,
      "batch.max_age": "20ms",
      "batch.max_bytes": "110kB",
      "admin.listen": "off",
    });
    const program = start("src/commands/publisher.ts", ["--directory", directory, config]);
    await publishing(program);
    return program;
  }

  /** Puts the next `count` events as a process that opens the queue, and closes it again. */
  put(count: number, { directory = this.directory, text = "" } = {}): void {
    const encode = (event: object): Uint8Array => Buffer.from(JSON.stringify(event));
    const queue = new EventQueue<object>("main", encode, { directory, maxEvents: 1_000_000 });
    queue.putMany(numbersFrom(this.#put + 1, this.#put + count).map((n) => ({ n, text })));
    queue.close();
    this.#put += count;
  }

  /** Publishes until nothing is left, with as many publishers at once. Returns what they logged. */
  async drain(publishers = 1): Promise<string> {
    const programs: Program[] = [];
    for (let count = 0; count < publishers; count++) programs.push(await this.publisher());
    await this.drained();
    for (const program of programs) assert.equal(await stop(program), 0);
    return programs.flatMap(({ stderr }) => stderr).join("\n");
  }

  /** Resolves when the queue is empty. */
  async drained(directory: string = this.directory): Promise<void> {
    await eventually("an empty queue", () => {
      const file = QueueFile.openReadOnly(join(directory, "events-main.db"));
      try {
        return file.db.prepareFirst("SELECT count(*) = 0 FROM eventspool_event").get() === 1;
      } finally {
        file.close();
      }
    });
  }

  /** Why each epoch of the queue began. */
  reasons(): string[] {
    const file = QueueFile.openReadOnly(this.file);
    try {
      return new EpochTable(file).list().map(({ reason }) => reason);
    } finally {
      file.close();
    }
  }

  /** The numbers of the events that are stored, in order. */
  stored(): number[] {
    const lines = readFileSync(this.collected, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => (JSON.parse(line) as { n: number }).n).sort((a, b) => a - b);
  }

  /** Asserts that each event that was put is stored, and how many are stored twice, at most. */
  assertStored({ twice = 0 } = {}): void {
    const stored = this.stored();
    assert.deepEqual([...new Set(stored)], numbersFrom(1, this.#put));
    assert.ok(stored.length <= this.#put + twice, `${stored.length} of ${this.#put} are stored`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopCollector();
    this.#temporary[Symbol.dispose]();
  }

  #write(name: string, section: string, settings: Settings): string {
    const path = join(this.#temporary.path, name);
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(path, `[${section}]\n${lines.join("")}`, { mode: 0o600 });
    return path;
  }
}

function removeQueue(file: string): void {
  for (const suffix of ["", ...SIDE_FILES]) rmSync(file + suffix, { force: true });
}

function copyAll(from: string, to: string): void {
  for (const suffix of ["", ...SIDE_FILES])
    if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix);
}

interface Backup {
  take(file: string, backup: string): void;
  restore(backup: string, file: string): void;
  /** Why new events are named anew. */
  readonly reason: "moved" | "rolled_back";
}

const BACKUPS: Readonly<Record<string, Backup>> = {
  "a copy of the file": {
    take: copyFileSync,
    restore: (backup, file) => {
      removeQueue(file);
      copyFileSync(backup, file);
    },
    reason: "moved",
  },
  "a copy of the file, its -wal and its -shm": {
    take: copyAll,
    restore: (backup, file) => {
      removeQueue(file);
      copyAll(backup, file);
    },
    reason: "moved",
  },
  "a copy by VACUUM INTO": {
    take: (file, backup) => {
      const db = openShell(file);
      db.prepare<[string]>("VACUUM INTO ?").run(backup);
      db.close();
    },
    restore: (backup, file) => {
      removeQueue(file);
      copyFileSync(backup, file);
    },
    reason: "moved",
  },
  "the bytes of the file, written back into the same inode": {
    take: copyFileSync,
    restore: (backup, file) => {
      for (const suffix of SIDE_FILES) rmSync(file + suffix, { force: true });
      writeFileSync(file, readFileSync(backup));
    },
    reason: "rolled_back",
  },
};

for (const [name, { take, restore, reason }] of Object.entries(BACKUPS))
  test(`${name} is restored: each event that is put afterwards is stored`, LIMIT, async () => {
    await using host = new Host();
    await host.startCollector();
    host.put(10);
    await host.drain();
    host.put(5); // they wait in the backup, and are delivered by the original
    const backup = join(host.directory, "backup.db");
    take(host.file, backup);
    await host.drain();
    host.put(20);
    await host.drain();

    restore(backup, host.file);
    host.put(30);
    const log = await host.drain();
    host.assertStored({ twice: reason === "moved" ? 0 : 35 });
    assert.equal(host.reasons().at(-1), reason);
    assert.equal(ROLLED_BACK.test(log), reason === "rolled_back", log);
    if (reason === "moved") assert.equal(host.stored().length, 65, "and each once");
  });

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
    await host.startCollector();
    host.put(10);
    await host.drain();
    const bytes = readFileSync(host.file);
    host.put(1_000, { text: "x".repeat(2_000) });
    await host.drain();

    writeFileSync(host.file, bytes);
    host.put(1_500, { text: "y".repeat(2_000) });
    const log = await host.drain(3);
    host.assertStored({ twice: 1_500 });
    assert.match(log, ROLLED_BACK);
    host.put(100);
    assert.doesNotMatch(await host.drain(), ROLLED_BACK);
  },
);

test(
  "a rollback is found out though the collector was away when the batch was first sent",
  LIMIT,
  async () => {
    await using host = new Host();
    await host.startCollector();
    host.put(10);
    await host.drain();
    const bytes = readFileSync(host.file);
    host.put(50);
    await host.drain();
    await host.stopCollector();

    writeFileSync(host.file, bytes);
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
