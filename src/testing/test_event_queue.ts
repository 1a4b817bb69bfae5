/**
 * A queue for the tests of a service.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import {
  EventQueue,
  type EventQueueOptions,
  type EventSchemaOption,
  type EventSerializer,
} from "../queue/event_queue.ts";
import { EVENTS_CEILING, EventTable } from "../storage/events.ts";
import { QueueFile } from "../storage/queue_file.ts";

/** Options of a {@link TestEventQueue}: those of an EventQueue, without the place. */
export type TestEventQueueOptions = Omit<EventQueueOptions, "directory">;

/** How {@link TestEventQueue.failWith} fails. */
export interface FailOptions {
  /** How many puts fail; then they work again. Default: all, until `failWith(undefined)`. */
  readonly times?: number;
}

const CLEAR = `
  DELETE FROM eventspool_lease;
  DELETE FROM eventspool_event;
  DELETE FROM eventspool_dead_letter;`;

/**
 * An {@link EventQueue} that is in memory where the system has a place for that (Linux), and gone when it is closed.
 * It is the real one, with its cap, sizes, schema, serializer and errors, so it fits wherever the service takes an
 * `EventQueue`, and a publisher can empty it. Besides, a test can look at its events, and have puts fail.
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
  /** What was in it when it was closed. */
  #leftBodies: Buffer[] | undefined;

  /**
   * Makes a queue that nobody else has, whatever its name.
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
    // Which of both overloads it is, that of EventQueue finds out again.
    super(name, serializer as EventSerializer<T>, { ...options, directory: makeMemoryDirectory() } as never);
    this.#file = QueueFile.open(this.file, { role: "producer", durability: "process", busyTimeoutMs: 1_000 });
    this.#table = new EventTable(this.#file);
  }

  /**
   * What waits in the queue, in order, each as `JSON.parse` reads the bytes that would be sent: a Date has become a
   * text, undefined members are gone, integers beyond 2^53 have lost digits. After `close()`: what was left then.
   *
   * @throws {SyntaxError} the serializer does not write JSON: see {@link bodies}
   */
  get events(): unknown[] {
    return this.bodies.map((body) => JSON.parse(body.toString()));
  }

  /** What waits in the queue, in order, as the bytes that would be sent. After `close()`: what was left then. */
  get bodies(): Buffer[] {
    if (this.#leftBodies !== undefined) return this.#leftBodies;
    return this.#table
      .read({ fromId: 1, limit: EVENTS_CEILING })
      .map(({ body }) => Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  }

  /** Forgets all events, dead letters too. */
  clear(): void {
    this.#file.transaction(() => {
      const { head } = this.#table.counters();
      this.#file.db.exec(CLEAR);
      this.#file.db.exec(`UPDATE eventspool_queue SET claimed_id = ${head}, removed_count = ${head}`);
    });
  }

  /**
   * Has puts fail with `error` from now on, and store nothing, as on a full disk or with a full queue, until
   * `failWith(undefined)`. A `putMany` is one put.
   */
  failWith(error: Error | undefined, { times = Number.POSITIVE_INFINITY }: FailOptions = {}): void {
    this.#failure = error && { error, left: times };
  }

  /** As {@link EventQueue.put}, or throws what {@link failWith} says. */
  override put(event: T): void {
    this.#failIfTold();
    super.put(event);
  }

  /** As {@link EventQueue.putMany}, or throws what {@link failWith} says. */
  override putMany(events: Iterable<T>): void {
    this.#failIfTold();
    super.putMany(events);
  }

  /** As {@link EventQueue.putAsync}, or rejects with what {@link failWith} says. */
  override async putAsync(event: T): Promise<void> {
    this.#failIfTold();
    await super.putAsync(event);
  }

  /** Closes the queue and removes its file. {@link events} and {@link bodies} keep what was in it. */
  override close(): void {
    if (this.#leftBodies !== undefined) return;
    super.close(); // commits what is still gathering
    this.#leftBodies = this.bodies;
    this.#file.close();
    removeMemoryDirectory(dirname(this.file));
  }

  #failIfTold(): void {
    if (this.#failure === undefined || this.#leftBodies !== undefined) return;
    if (this.#failure.left-- > 0) throw this.#failure.error;
    this.#failure = undefined;
  }
}

/** Linux has a file system in memory here: a queue is opened and gone in 3 ms, and on a busy disk it was 55. */
const MEMORY = "/dev/shm";

const PREFIX = "eventspool-test-";

const toRemove = new Set<string>();
let willRemove = false;

/**
 * Makes a directory in memory, where there is such a place, else in the system's one for temporary files. It goes
 * with the process at the latest.
 */
export function makeMemoryDirectory(): string {
  const path = makeIn(MEMORY) ?? mkdtempSync(join(tmpdir(), PREFIX));
  removeAtExit();
  toRemove.add(path);
  return path;
}

/** Removes one, with all that is in it. */
export function removeMemoryDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
  toRemove.delete(path);
}

function makeIn(directory: string): string | undefined {
  try {
    return mkdtempSync(join(directory, PREFIX));
  } catch {
    return undefined; // not there, or not for us
  }
}

function removeAtExit(): void {
  if (willRemove) return;
  willRemove = true;
  process.once("exit", removeAll);
  // What `deno test` does at the end of a file, instead of "exit".
  const { addEventListener } = globalThis as {
    addEventListener?: (type: "unload", listener: () => void) => void;
  };
  addEventListener?.("unload", removeAll);
}

function removeAll(): void {
  for (const path of toRemove) rmSync(path, { recursive: true, force: true });
}
