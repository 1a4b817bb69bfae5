/**
 * The queue as a service sees it.
 *
 * @module
 */
import {
  ConfigurationError,
  type EventError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventTooLargeError,
} from "../errors.ts";
import { DEFAULT_BUSY_TIMEOUT_MS, DEFAULT_FILE_MODE, MAX_EVENT_BYTES, MAX_MAX_EVENTS } from "../limits.ts";
import { EventTable } from "../store/event_table.ts";
import { locateQueueFile } from "../store/location.ts";
import { isFileMode } from "../store/new_file.ts";
import { QueueFile } from "../store/queue_file.ts";
import { SharedSync } from "../store/shared_sync.ts";
import { GroupCommit } from "./group_commit.ts";
import { activeTrace, type PutTracing } from "./put_trace.ts";
import { RefusedPuts } from "./refused_puts.ts";

/**
 * Turns an event into the bytes that go on the wire, such as `serializeJsonEvent` or `serializeV2Event`.
 * Each time into an array of its own: `putMany` and `putGrouped` hold several before they store them.
 */
export type EventSerializer<T> = (event: T) => Uint8Array;

/** Options of an {@link EventQueue}; all of them may be left out. */
export interface EventQueueOptions {
  /**
   * The directory of the queue's file, which must exist. Default: `$EVENTSPOOL_DIR`, else systemd's
   * `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/eventspool`, else `~/.local/state/eventspool`.
   */
  readonly directory?: string;
  /**
   * How many events the queue may hold. It is stored in the file, for everyone who uses it, and stays
   * until someone passes another. Default: what the file says, 10,000 in a new one.
   */
  readonly maxEvents?: number;
  /** The largest serialized event, in bytes. Default 102,400, what collectors of baseplate.py take. */
  readonly maxEventBytes?: number;
  /**
   * What a put that returned survives. `process` (default): the death of any process, a `kill -9`
   * included; a power cut or a crash of the operating system may take the last puts. `power`: those
   * too, for one fsync a put (about 10 times slower).
   */
  readonly durability?: "process" | "power";
  /**
   * The mode of the queue's file, where this queue is the one that makes it: `0o660`, say, for a publisher
   * that runs as another user of the same group. Default `0o600`. A file that is there keeps its mode.
   */
  readonly fileMode?: number;
  /** How long a put waits for the file's write lock, in milliseconds. Default 1,000; in practice it is microseconds. */
  readonly busyTimeoutMs?: number;
  /**
   * The package `@opentelemetry/api`, as in `import * as openTelemetry from "@opentelemetry/api"`. Then an event that is
   * put while a recorded span is active keeps that span's context, in the file and not in its body, and a publisher with
   * the same option links the span of its request to it. Default: none, and a put costs nothing more.
   */
  readonly openTelemetry?: PutTracing;
}

/**
 * A durable queue of events for one publisher, in one SQLite file. Open it once per process and keep
 * it; any number of processes may put into the same queue.
 *
 * @example
 * ```ts
 * using events = new EventQueue("main", serializeJsonEvent);
 * events.put({ action: "view", noun: "page" });
 * ```
 */
export class EventQueue<T> implements Disposable {
  /** The queue's name: its publisher is started with `--queue-name NAME`. */
  readonly name: string;
  /** The queue's file. */
  readonly file: string;
  readonly #serialize: EventSerializer<T>;
  readonly #maxEventBytes: number;
  readonly #queueFile: QueueFile;
  readonly #events: EventTable;
  readonly #group: GroupCommit;
  readonly #sync: SharedSync | undefined;
  readonly #refused: RefusedPuts;
  readonly #tracing: PutTracing | undefined;
  /** Those of grouped puts until they are committed: then another span is active, or none. */
  readonly #traces = new WeakMap<Uint8Array, string>();
  #closed = false;

  /**
   * Opens the queue's file, and makes it if it is not there.
   *
   * @throws {ConfigurationError} the name or an option is not valid
   * @throws {EventStorageError} the directory or the file cannot be used, or the file is not a queue
   */
  constructor(name: string, serializer: EventSerializer<T>, options: EventQueueOptions = {}) {
    const { directory, maxEvents, maxEventBytes = MAX_EVENT_BYTES } = options;
    const { durability = "process", busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS } = options;
    const { fileMode = DEFAULT_FILE_MODE } = options;
    if (maxEvents !== undefined) checkWhole("maxEvents", maxEvents, MAX_MAX_EVENTS);
    checkWhole("maxEventBytes", maxEventBytes, Number.MAX_SAFE_INTEGER);
    checkWhole("busyTimeoutMs", busyTimeoutMs, Number.MAX_SAFE_INTEGER);
    checkFileMode(fileMode);
    checkOneOf("durability", durability, ["process", "power"]);

    this.name = name;
    this.file = locateQueueFile(name, directory);
    this.#serialize = serializer;
    this.#tracing = options.openTelemetry;
    this.#maxEventBytes = maxEventBytes;
    this.#queueFile = QueueFile.open(this.file, {
      role: "producer",
      durability,
      busyTimeoutMs,
      fileMode,
    });
    this.#events = new EventTable(this.#queueFile);
    this.#sync = durability === "power" ? new SharedSync(this.file) : undefined;
    this.#group = new GroupCommit({
      putWhatFits: (bodies) => this.#events.putWhatFits(bodies, this.#tracing && this.#traceOf),
      sync: () => this.#sync?.sync(),
      full: () => this.#full(),
    });
    this.#refused = new RefusedPuts((counts) => this.#events.addRefused(counts));
    if (maxEvents !== undefined) this.#events.setMaxEvents(maxEvents);
  }

  /**
   * Stores an event. When it returns, the event is committed; when it throws, it is not stored.
   *
   * @throws {EventTooLargeError} the serialized event is larger than `maxEventBytes`
   * @throws {EventQueueFullError} the queue holds `maxEvents` events
   * @throws {EventSerializationError} the event cannot be written in the queue's format
   * @throws {EventStorageError} the file cannot be written, such as on a full disk
   * @throws {EventQueueClosedError} the queue is closed
   */
  put(event: T): void {
    if (this.#closed) throw new EventQueueClosedError(this.name);
    try {
      if (!this.#events.put(this.#encode(event), this.#activeTrace())) throw this.#full();
    } catch (error) {
      this.#refused.count(error);
      throw error;
    }
  }

  /**
   * Stores all of the events, in order, in one transaction, or none of them: several times faster
   * than single puts.
   *
   * @throws the same as {@link put}; then none of the events is stored
   */
  putMany(events: Iterable<T>): void {
    if (this.#closed) throw new EventQueueClosedError(this.name);
    const all = Array.from(events);
    try {
      const bodies = all.map((event) => this.#encode(event));
      const trace = this.#activeTrace();
      const traceOf = trace === undefined ? undefined : () => trace;
      if (bodies.length > 0 && !this.#events.putMany(bodies, traceOf)) throw this.#full();
    } catch (error) {
      this.#refused.count(error, all.length);
      throw error;
    }
  }

  /**
   * Stores an event, in one commit with all others of this turn of the event loop: many times faster
   * than {@link put} for a busy service. With `durability: "power"` groups share their syncs, too, and the
   * event loop does not wait for the disk. It resolves when the event is as safe as `put` makes it; until
   * then a crash may take it.
   *
   * @throws the same as {@link put}, as a rejection; only this event is then not stored. One that was stored
   * but could not be synced, since the disk fails, is rejected with an EventStorageError, and may be
   * delivered all the same.
   */
  async putGrouped(event: T): Promise<void> {
    if (this.#closed) throw new EventQueueClosedError(this.name);
    try {
      await this.#group.add(this.#traced(this.#encode(event)));
    } catch (error) {
      this.#refused.count(error);
      throw error;
    }
  }

  /** How many events wait for the collector or are on their way there; O(1) however many. */
  depth(): number {
    if (this.#closed) throw new EventQueueClosedError(this.name);
    return this.#events.depth();
  }

  /** Commits what is still gathering, and closes the file. What was put stays there for the publisher. Closing twice is fine. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#group.flush();
    this.#refused.close();
    void this.#sync?.close(); // those that still wait for it are told when it ends
    this.#queueFile.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #encode(event: T): Uint8Array {
    const body = this.#serialize(event);
    if (!(body instanceof Uint8Array))
      throw new EventSerializationError(
        "",
        "was not serialized to bytes: the queue's serializer must return a Uint8Array.",
      );
    if (body.length === 0)
      throw new EventSerializationError(
        "",
        "was serialized to no bytes at all: nothing would reach the collector.",
      );
    if (body.length > this.#maxEventBytes) {
      throw new EventTooLargeError(body.length, this.#maxEventBytes, this.name);
    }
    return body;
  }

  readonly #traceOf = (body: Uint8Array): string | undefined => this.#traces.get(body);

  #activeTrace(): string | undefined {
    return this.#tracing && activeTrace(this.#tracing);
  }

  /** Remembers the active span for a body that is stored later. */
  #traced(body: Uint8Array): Uint8Array {
    const trace = this.#activeTrace();
    if (trace !== undefined) this.#traces.set(body, trace);
    return body;
  }

  #full(): EventError {
    return new EventQueueFullError(this.#events.depth(), this.#events.maxEvents, this.name);
  }
}

function checkWhole(key: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new ConfigurationError(`must be a whole number from 1 to ${max}, and is ${value}.`, { key });
}

function checkFileMode(mode: number): void {
  if (isFileMode(mode)) return;
  const problem = "must be a mode that lets the owner read and write, such as 0o600";
  throw new ConfigurationError(`${problem}, and is ${mode}.`, { key: "fileMode" });
}

function checkOneOf(key: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new ConfigurationError(`must be ${allowed.join(" or ")}, and is ${JSON.stringify(value)}.`, { key });
}
