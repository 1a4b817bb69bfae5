import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EventQueue } from "../../src/queue/event_queue.ts";
import { EpochTable } from "../../src/storage/epochs.ts";
import { QueueFile } from "../../src/storage/queue_file.ts";
import { PUBLISHER, writeIni } from "./config.ts";
import { eventually } from "./eventually.ts";
import { KEY, KEY_BASE64 } from "./keys.ts";
import { type Program, start } from "./processes.ts";
import { numbersFrom } from "./scripted_collector.ts";
import { freePorts } from "./servers.ts";
import { addressOf, publishing, stop } from "./spool.ts";
import { temporaryDirectory } from "./temporary.ts";

/** What a publisher logs when the collector has events that were never sent. */
export const ROLLED_BACK: RegExp = /The queue file was rolled back/;

/** A host: a queue, its publishers and a collector. Nothing in this process keeps the queue open. */
export class Host implements AsyncDisposable {
  readonly directory: string;
  readonly collected: string;
  readonly #temporary = temporaryDirectory();
  #collector: Program | undefined;
  #listen: string | undefined;
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
    this.#listen ??= `127.0.0.1:${(await freePorts(1))[0]}`;
    const config = writeIni(join(this.#temporary.path, "collector.ini"), "event-collector", {
      listen: this.#listen,
      output: this.collected,
      [`key.${KEY.name}`]: KEY_BASE64,
    });
    this.#collector = start("src/commands/collector.ts", [config]);
    await addressOf(this.#collector);
  }

  async stopCollector(): Promise<void> {
    if (this.#collector !== undefined) await stop(this.#collector);
  }

  /** Starts a publisher of the queue, or of that in another directory. */
  async publisher(directory: string = this.directory): Promise<Program> {
    const config = writeIni(join(this.#temporary.path, "publisher.ini"), "event-publisher:main", {
      ...PUBLISHER,
      "collector.hostname": this.#listen ?? assert.fail("there is no collector yet"),
      "batch.max_bytes": "110kB",
      "admin.listen": "off",
    });
    const program = start("src/commands/publisher.ts", ["--directory", directory, config]);
    await publishing(program);
    return program;
  }

  /** Puts the next `count` events as a process that opens the queue, and closes it again. */
  put(
    count: number,
    { directory = this.directory, text = "" }: { directory?: string; text?: string } = {},
  ): void {
    const encode = (event: object): Uint8Array => Buffer.from(JSON.stringify(event));
    const queue = new EventQueue<object>("main", encode, {
      directory,
      maxEvents: 1_000_000,
      busyTimeoutMs: 30_000, // who holds the lock may wait for a core
    });
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
      using file = QueueFile.openReadOnly(join(directory, "events-main.db"));
      return file.db.prepareFirst("SELECT count(*) = 0 FROM eventspool_event").get() === 1;
    });
  }

  /** Why each epoch of the queue began. */
  reasons(): string[] {
    using file = QueueFile.openReadOnly(this.file);
    return new EpochTable(file).list().map(({ reason }) => reason);
  }

  /** The numbers of the events that are stored, in order. */
  stored(): number[] {
    const lines = readFileSync(this.collected, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => (JSON.parse(line) as { n: number }).n).sort((a, b) => a - b);
  }

  /** Asserts that each event that was put is stored, and how many are stored twice, at most. */
  assertStored({ twice = 0 }: { twice?: number } = {}): void {
    const stored = this.stored();
    assert.deepEqual([...new Set(stored)], numbersFrom(1, this.#put));
    assert.ok(stored.length <= this.#put + twice, `${stored.length} of ${this.#put} are stored`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopCollector();
    this.#temporary[Symbol.dispose]();
  }
}
