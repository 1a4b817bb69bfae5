/** A queue for the tests of a service. */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { checkOption, checkOptions, type OptionKind, type OptionKinds, wholeFrom } from "../options.ts";
import {
  EVENT_QUEUE_OPTIONS,
  EventQueue,
  type EventQueueOptions,
  type EventSchemaOption,
  type EventSerializer,
} from "../queue/event_queue.ts";
import { EVENTS_CEILING, EventTable } from "../storage/events.ts";
import { QueueFile } from "../storage/queue_file.ts";

/** Options of a {@link TestEventQueue}: those of an EventQueue, without the directory. */
export type TestEventQueueOptions = Omit<EventQueueOptions, "directory">;

const { directory: _, ...OPTION_KINDS }: OptionKinds<EventQueueOptions> = EVENT_QUEUE_OPTIONS;

/** Options of {@link TestEventQueue.failWith}. */
export interface FailOptions {
  /** How many puts fail before they work again. Default: all, until `failWith(undefined)`. */
  readonly times?: number;
}

const FAIL_OPTION_KINDS: OptionKinds<FailOptions> = { times: wholeFrom(1) };

const ERROR: OptionKind = { expected: "an Error or undefined", matches: (value) => value instanceof Error };

const CLEAR = `
  DELETE FROM eventspool_lease;
  DELETE FROM eventspool_event;
  DELETE FROM eventspool_dead_letter;`;

/**
 * A real {@link EventQueue} whose file is in memory (on Linux) and is removed when the queue is closed. It has the same
 * limits, schema, serializer and errors, so it can be passed wherever a service takes an `EventQueue`, and a publisher
 * can send its events. In addition a test can read its events and make puts fail.
 *
 * @example
 * ```ts
 * using events = new TestEventQueue("main", serializeJsonEvent);
 * signUp(events, "ann");
 * assert.deepEqual(events.events, [{ action: "signup", user: "ann" }]);
 * ```
 */
export class TestEventQueue<T, Output = T> extends EventQueue<T, Output> {
  readonly #file: QueueFile;
  readonly #table: EventTable;
  #failure: { readonly error: Error; left: number } | undefined;
  /** The bodies that were left when the queue was closed. */
  #leftBodies: Buffer[] | undefined;

  /**
   * Creates a queue that is never shared: two queues of the same name have different files.
   *
   * @throws {ConfigurationError} the name or an option is not valid
   */
  constructor(
    name: string,
    serializer: EventSerializer<Output>,
    options: TestEventQueueOptions & EventSchemaOption<T, Output>,
  );
  /** The same without a schema. */
  constructor(
    name: string,
    serializer: EventSerializer<T>,
    options?: TestEventQueueOptions & { readonly schema?: undefined },
  );
  constructor(name: string, serializer: EventSerializer<never>, options: TestEventQueueOptions = {}) {
    const checked = checkOptions(options, OPTION_KINDS);
    super(name, serializer as EventSerializer<T>, { ...checked, directory: makeMemoryDirectory() } as never);
    this.#file = QueueFile.open(this.file);
    this.#table = new EventTable(this.#file);
  }

  /**
   * The events in the queue, in order, each as `JSON.parse` returns the bytes that would be sent: a Date is a string,
   * undefined members are missing, integers beyond 2^53 have lost digits. After `close()`: the events that were left.
   *
   * @throws {SyntaxError} the serializer does not write JSON: use {@link bodies}
   */
  get events(): unknown[] {
    return this.bodies.map((body) => JSON.parse(body.toString()));
  }

  /** The events in the queue, in order, as the bytes that would be sent. After `close()`: those that were left. */
  get bodies(): Buffer[] {
    if (this.#leftBodies !== undefined) return this.#leftBodies;
    return this.#table
      .readWaiting({ fromId: 1, limit: EVENTS_CEILING })
      .map(({ body }) => Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  }

  /** Removes all events and dead letters. */
  clear(): void {
    this.#file.transaction(() => {
      const { newestId } = this.#table.counters();
      this.#file.db.exec(CLEAR);
      this.#file.db.exec(`
        UPDATE eventspool_queue SET claimed_id = ${newestId}, settled_count = ${newestId};
        UPDATE eventspool_subscription SET claimed_id = ${newestId}, settled_count = ${newestId}`);
    });
  }

  /**
   * Makes puts throw `error` and store nothing, as on a full disk or with a full queue, until `failWith(undefined)`. A
   * `putMany` counts as one put.
   *
   * @throws {ConfigurationError} an argument is not valid
   */
  failWith(error: Error | undefined, options: FailOptions = {}): void {
    if (error !== undefined) checkOption("error", error, ERROR);
    const { times = Number.POSITIVE_INFINITY } = checkOptions(options, FAIL_OPTION_KINDS);
    this.#failure = error && { error, left: times };
  }

  /** {@link EventQueue.put}, or throws the error of {@link failWith}. */
  override put(event: T): void {
    this.#failIfAsked();
    super.put(event);
  }

  /** {@link EventQueue.putMany}, or throws the error of {@link failWith}. */
  override putMany(events: Iterable<T>): void {
    this.#failIfAsked();
    super.putMany(events);
  }

  /** {@link EventQueue.putAsync}, or rejects with the error of {@link failWith}. */
  override async putAsync(event: T): Promise<void> {
    this.#failIfAsked();
    await super.putAsync(event);
  }

  /** Closes the queue and removes its file. {@link events} and {@link bodies} still return what was left. */
  override close(): void {
    if (this.#leftBodies !== undefined) return;
    super.close(); // commits pending puts of putAsync
    this.#leftBodies = this.bodies;
    this.#file.close();
    removeMemoryDirectory(dirname(this.file));
  }

  #failIfAsked(): void {
    if (this.#failure === undefined || this.#leftBodies !== undefined) return;
    if (this.#failure.left-- > 0) throw this.#failure.error;
    this.#failure = undefined;
  }
}

/** A file system in memory on Linux: opening and removing a queue takes 3 ms there, and took 55 ms on a busy disk. */
const MEMORY = "/dev/shm";

/** Names the process that created a directory. Its pid alone would not: containers may share `/dev/shm`. */
const NAMESPACE_PREFIX = `eventspool-test-${pidNamespace()}-`;
const PREFIX = `${NAMESPACE_PREFIX}${process.pid}-`;

const toRemove = new Set<string>();
let isPrepared = false;

/**
 * Creates a directory in memory if possible, otherwise among the temporary files. At the latest it is removed when the
 * process ends, or by the next process that calls this: `bun test` and killed workers have no "exit" event.
 */
function makeMemoryDirectory(): string {
  if (!isPrepared) {
    isPrepared = true;
    removeAtExit();
    for (const directory of [MEMORY, tmpdir()]) removeAbandoned(directory);
  }
  const path = makeIn(MEMORY) ?? mkdtempSync(join(tmpdir(), PREFIX));
  toRemove.add(path);
  return path;
}

/** Removes what processes have left that have ended. What cannot be removed stays. */
function removeAbandoned(directory: string): void {
  try {
    for (const name of readdirSync(directory)) {
      const pid = Number.parseInt(name.slice(NAMESPACE_PREFIX.length), 10);
      if (name.startsWith(NAMESPACE_PREFIX) && hasEnded(pid))
        rmSync(join(directory, name), { recursive: true, force: true });
    }
  } catch {
    // not there, another user's, or removed by another process meanwhile
  }
}

function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0); // sends nothing
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Linux's number of the namespace in which our pid is unique; 0 on systems without. */
function pidNamespace(): number {
  try {
    return Number.parseInt(readlinkSync("/proc/self/ns/pid").replace("pid:[", ""), 10);
  } catch {
    return 0;
  }
}

function removeMemoryDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
  toRemove.delete(path);
}

function makeIn(directory: string): string | undefined {
  try {
    return mkdtempSync(join(directory, PREFIX));
  } catch {
    return undefined; // it does not exist, or cannot be written
  }
}

function removeAtExit(): void {
  process.once("exit", removeAll);
  // At the end of a file, `deno test` fires this instead of "exit".
  const { addEventListener } = globalThis as {
    addEventListener?: (type: "unload", listener: () => void) => void;
  };
  addEventListener?.("unload", removeAll);
}

function removeAll(): void {
  for (const path of toRemove) rmSync(path, { recursive: true, force: true });
}
