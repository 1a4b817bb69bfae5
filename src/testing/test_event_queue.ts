/**
 * A queue for the tests of a service.
 *
 * @module
 */
import { dirname } from "node:path";
import { checkOptions, type OptionKinds } from "../options.ts";
import {
  EVENT_QUEUE_OPTIONS,
  EventQueue,
  type EventQueueOptions,
  type EventSchemaOption,
  type EventSerializer,
} from "../queue/event_queue.ts";
import { EVENTS_CEILING, EventTable } from "../storage/events.ts";
import { QueueFile } from "../storage/queue_file.ts";
import { makeMemoryDirectory, removeMemoryDirectory } from "./memory_directory.ts";

/** Options of a {@link TestEventQueue}: those of an EventQueue, without the place. */
export type TestEventQueueOptions = Omit<EventQueueOptions, "directory">;

const { directory: _, ...OPTION_KINDS }: OptionKinds<EventQueueOptions> = EVENT_QUEUE_OPTIONS;

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
    const checked = checkOptions(options, OPTION_KINDS);
    super(name, serializer as EventSerializer<T>, { ...checked, directory: makeMemoryDirectory() } as never);
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
      .readWaiting({ fromId: 1, limit: EVENTS_CEILING })
      .map(({ body }) => Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  }

  /** Forgets all events, dead letters too. */
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
