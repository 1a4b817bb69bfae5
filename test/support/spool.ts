import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Timings } from "../../src/publisher/waiting.ts";
import { EventQueue } from "../../src/queue/event_queue.ts";
import { EventTable } from "../../src/storage/events.ts";
import { QueueFile } from "../../src/storage/queue_file.ts";
import { PUBLISHER, type Settings, writeIni } from "./config.ts";
import { eventually } from "./eventually.ts";
import { KEY, KEY_BASE64 } from "./keys.ts";
import { type Program, start } from "./processes.ts";
import { numbersFrom } from "./scripted_collector.ts";
import { temporaryDirectory } from "./temporary.ts";

export type { Settings };

/** A row of the lease table. */
export interface LeaseRow {
  readonly first_id: number;
  readonly last_id: number;
  readonly expires_at_ms: number;
  readonly attempts: number;
}

/** A row of the dead letters. */
export interface DeadLetterRow {
  readonly id: number;
  readonly body: string;
  readonly status: number;
  readonly response: string;
}

/** The queue `main` in a directory of its own, and the processes that use it: `using spool = new Spool();`. */
export class Spool implements Disposable {
  readonly directory: string;
  /** The queue, as a service in this process has it: events are JSON, or bytes as they are. */
  readonly queue: EventQueue<object>;
  readonly #temporary = temporaryDirectory();
  readonly #settingsDirectory: string = this.#temporary.path;
  readonly #file: QueueFile;
  #put = 0;
  #files = 0;

  /** @param options another directory for the queue, such as a small disk's */
  constructor({ directory }: { directory?: string } = {}) {
    this.directory = directory ?? this.#temporary.path;
    this.queue = new EventQueue("main", encode, {
      directory: this.directory,
      maxEvents: 1_000_000,
      busyTimeoutMs: PATIENT_MS,
    });
    this.#file = QueueFile.open(this.queue.file, { busyTimeoutMs: PATIENT_MS });
  }

  /** Puts all of the next `count` events, or throws and puts none: `{"n":1}`, `{"n":2}`, ... with `fields` in each. */
  put(count: number, fields: object = {}): void {
    const numbers = numbersFrom(this.#put + 1, this.#put + count);
    this.queue.putMany(numbers.map((n) => ({ n, ...fields })));
    this.#put += count;
  }

  /** Starts a publisher that sends to `settings["collector.hostname"]`: quick, and with no admin routes unless told. */
  publisher(settings: Settings, args: readonly string[] = []): Program {
    return start("src/commands/publisher.ts", [...args, ...this.publisherArgs(settings)]);
  }

  /** Starts one that waits less: `spool.quickPublisher({ leaseMarginMs: 100 }, settings)`. */
  quickPublisher(shorter: Partial<Timings>, settings: Settings): Program {
    const args = [JSON.stringify(shorter), ...this.publisherArgs(settings)];
    return start("test/support/programs/quick_publisher.ts", args);
  }

  /** What a publisher is started with. */
  publisherArgs(settings: Settings): string[] {
    const all = { ...PUBLISHER, "publisher.grace": "30s", "admin.listen": "off", ...settings };
    const file = this.write("publisher.ini", "event-publisher:main", all);
    return ["--directory", this.directory, file];
  }

  /** Halts a program by SIGSTOP where it does not hold the file's write lock, or nobody could put any more. */
  async halt(program: Program): Promise<void> {
    await eventually("a halt outside of a transaction", async () => {
      program.signal("SIGSTOP");
      await eventually("a stopped process", () => isStopped(program)); // until then it may get the lock
      try {
        this.#file.transaction(() => {});
        return true;
      } catch {
        program.signal("SIGCONT");
        return false;
      }
    });
  }

  /** Changes the row cap. */
  cap(maxEvents: number): void {
    new EventTable(this.#file).setMaxEvents(maxEvents);
  }

  /** Starts the real collector on a free port. */
  collector(settings: Settings = {}): Program {
    const file = this.write("collector.ini", "event-collector", {
      listen: "127.0.0.1:0",
      output: this.collected,
      [`key.${KEY.name}`]: KEY_BASE64,
      ...settings,
    });
    return start("src/commands/collector.ts", [file]);
  }

  /** The file that the real collector writes. */
  get collected(): string {
    return join(this.directory, "collected.jsonl");
  }

  /** Writes an INI file of its own, and returns its path. */
  write(name: string, section: string, settings: Settings): string {
    return writeIni(join(this.#settingsDirectory, `${++this.#files}-${name}`), section, settings);
  }

  /** What SQLite finds wrong with the file: `ok`. */
  integrity(): string {
    return this.#file.db.pragma("integrity_check") as string;
  }

  /** Whether a publisher keeps a ballast beside the file. */
  hasBallast(): boolean {
    return existsSync(`${this.queue.file}-ballast`);
  }

  leases(): LeaseRow[] {
    return this.#file.db.prepare<[], LeaseRow>("SELECT * FROM eventspool_lease ORDER BY first_id").all();
  }

  /** Lets the leases run out now, as time would. */
  expireLeases(): void {
    this.#file.run(() => this.#file.db.prepare("UPDATE eventspool_lease SET expires_at_ms = 0").run());
  }

  deadLetters(): DeadLetterRow[] {
    return this.#file.db
      .prepare<[], DeadLetterRow>(
        "SELECT id, CAST(body AS TEXT) AS body, status, response FROM eventspool_dead_letter ORDER BY id",
      )
      .all();
  }

  /** Closes the queue, and with it, where no other process has it open, the file. */
  close(): void {
    this.queue.close();
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
    this.#temporary[Symbol.dispose]();
  }
}

/** How long a lock is waited for: on a busy machine the process that holds it may wait for a core, in milliseconds. */
const PATIENT_MS = 30_000;

function encode(event: object): Uint8Array {
  return event instanceof Uint8Array ? event : Buffer.from(JSON.stringify(event));
}

/** The address a program says it listens on: `http://127.0.0.1:1234`. */
export async function addressOf(program: Program): Promise<URL> {
  const line = await program.line(/"(Admin|Collecting) at /);
  return new URL((JSON.parse(line) as { properties: { address: string } }).properties.address);
}

/**
 * Ends a program with a signal, by default SIGTERM, and returns its exit code. SIGTERM waits for its first line: before
 * that it may not handle signals yet, and would end as by SIGKILL.
 */
export async function stop(program: Program, signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
  if (signal === "SIGTERM") await program.line(/./);
  program.signal(signal);
  return program.ended;
}

/** Resolves once a publisher has told that it publishes. */
export async function publishing(program: Program): Promise<void> {
  await program.line(/"Publishing queue /);
}

/** Whether SIGSTOP has taken effect: a process that waits for a core is still in its last system call. */
function isStopped({ child }: Program): boolean {
  const path = `/proc/${child.pid}/stat`;
  if (!existsSync(path)) return true; // not Linux, or it has ended
  return / T /.test(readFileSync(path, "utf8").replace(/.*\)/s, ""));
}
