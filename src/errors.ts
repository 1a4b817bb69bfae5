/**
 * The errors that eventspool throws. All of them are {@link EventError}s with a `code`: a service that must not
 * fail because of its events catches this one class.
 */

/**
 * The base class of all errors that eventspool throws.
 *
 * @example
 * ```ts
 * try {
 *   events.put(event);
 * } catch (error) {
 *   if (!EventError.is(error)) throw error;
 *   console.error(error.code, error.message); // the service continues without this event
 * }
 * ```
 */
export abstract class EventError extends Error {
  /** The name of its class, such as `EventQueueFullError`. */
  override name: string = "EventError";
  /** What happened, for programs: one code per class, such as `QUEUE_FULL`; {@link EventStorageError} has several. */
  abstract readonly code: string;

  /**
   * Whether a value is an error of this class. Unlike `instanceof` it also recognizes errors of another copy of the
   * package. Every subclass has it: `EventQueueFullError.is(error)`.
   */
  static is<T extends EventError>(this: abstract new (...args: never[]) => T, value: unknown): value is T {
    // biome-ignore lint/complexity/noThisInStatic: it asks for the class that it is called on
    return isOf(this, value);
  }
}

function isOf(errorClass: abstract new (...args: never[]) => EventError, value: unknown): boolean {
  const [brand] = Object.getOwnPropertySymbols(errorClass.prototype);
  try {
    if (brand === undefined) return value instanceof errorClass; // a subclass that is not ours
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  } catch {
    return false; // a Proxy that does not let anyone look
  }
}

/** The serialized event is larger than the limit. It was not stored. */
export class EventTooLargeError extends EventError {
  /** The name of the class. */
  override name: "EventTooLargeError" = "EventTooLargeError";
  /** Always `EVENT_TOO_LARGE`. */
  override readonly code: "EVENT_TOO_LARGE" = "EVENT_TOO_LARGE";
  /** The size of the serialized event, in bytes. */
  readonly size: number;
  /** The largest size that the queue accepts, in bytes. */
  readonly limit: number;
  /** The name of the queue that rejected the event. */
  readonly queue: string;

  /** Takes the event's size and the limit, in bytes, and the queue's name. */
  constructor(size: number, limit: number, queue: string) {
    super(
      `Event is too large to send (${size} bytes). ` +
        `Queue ${JSON.stringify(queue)} takes at most ${limit} bytes: send less, or a reference to the data.`,
    );
    this.size = size;
    this.limit = limit;
    this.queue = queue;
  }
}

/**
 * The queue is full, and the event was not stored. Usually the publisher is not running, or cannot reach its
 * collector.
 */
export class EventQueueFullError extends EventError {
  /** The name of the class. */
  override name: "EventQueueFullError" = "EventQueueFullError";
  /** Always `QUEUE_FULL`. */
  override readonly code: "QUEUE_FULL" = "QUEUE_FULL";
  /** How many events the queue holds. With the unit `bytes`: the size of the `putAsync` events that wait in this process. */
  readonly size: number;
  /** The queue's `maxEvents`. With the unit `bytes`: how large the waiting events may be. */
  readonly limit: number;
  /** The name of the queue that rejected the event. */
  readonly queue: string;
  /** What `size` and `limit` count: `events` in the queue, or `bytes` that wait in memory for their commit. */
  readonly unit: "events" | "bytes";

  /** Takes the size, the limit and the queue's name. */
  constructor(size: number, limit: number, queue: string, unit: "events" | "bytes" = "events") {
    super(
      unit === "events"
        ? `The event queue is full. Queue ${JSON.stringify(queue)} holds ${size} of at most ${limit} events: ` +
            "check that its publisher runs and reaches its destination, or raise maxEvents."
        : `Too many puts wait for their commit. Queue ${JSON.stringify(queue)} has ${size} of at most ${limit} ` +
            "bytes of them in this process: await putAsync before you put more, or use putMany.",
    );
    this.size = size;
    this.limit = limit;
    this.queue = queue;
    this.unit = unit;
  }
}

/** The event cannot be written in the queue's format. It was not stored. */
export class EventSerializationError extends EventError {
  /** The name of the class. */
  override name: "EventSerializationError" = "EventSerializationError";
  /** Always `EVENT_NOT_SERIALIZABLE`. */
  override readonly code: "EVENT_NOT_SERIALIZABLE" = "EVENT_NOT_SERIALIZABLE";
  /** The path of the value in the event, such as `user.flags[2]`; empty for the event itself. */
  readonly field: string;

  /** Takes the path of the value and what is wrong with it. */
  constructor(field: string, problem: string, options?: ErrorOptions) {
    super(field === "" ? `Event ${problem}` : `Event field ${field} ${problem}`, options);
    this.field = field;
  }
}

/** A problem that a queue's schema found in an event. */
export interface EventIssue {
  /** The path in the event, such as `user.id` or `items[3].price`; empty for the event itself. */
  readonly field: string;
  /** The message of the schema's library, without texts of the event, and cut at 200 characters. */
  readonly problem: string;
  /** What was found: a number, a constant, or the kind of value, such as `a string of length 12`. Undefined: unreadable. */
  readonly found: string | undefined;
}

/**
 * The event does not match the queue's `schema`. It was not serialized and not stored.
 *
 * An {@link EventSerializationError} is a mistake of the program. This one may be a mistake of a user whose input became
 * the event: respond with 400 and the {@link issues}.
 */
export class EventInvalidError extends EventError {
  /** The name of the class. */
  override name: "EventInvalidError" = "EventInvalidError";
  /** Always `EVENT_INVALID`. */
  override readonly code: "EVENT_INVALID" = "EVENT_INVALID";
  /** All problems, at most the first 20. */
  readonly issues: readonly EventIssue[];
  /** The first issue's field. */
  readonly field: string;
  /** The index of the event in `putMany`, from 0; undefined for a single put. */
  readonly index: number | undefined;

  /** Takes the problems, and the index of the event in `putMany`. */
  constructor(issues: readonly EventIssue[], index?: number, options?: ErrorOptions) {
    super(describeIssues(issues, index), options);
    this.issues = issues;
    this.field = issues[0]?.field ?? "";
    this.index = index;
  }
}

/**
 * The queue's file or directory cannot be used. {@link code} says why:
 *
 * - `SQLITE_FULL`, `SQLITE_IOERR_SHMSIZE`: the disk is full; stored events are not lost
 * - `SQLITE_BUSY`, `SQLITE_PROTOCOL` and codes that begin with them: another process holds the file's lock for too long
 * - `SQLITE_READONLY`, `SQLITE_READONLY_DIRECTORY`, `SQLITE_PERM`, `SQLITE_CANTOPEN`: owner or mode of file or directory
 * - `SQLITE_CORRUPT`, `SQLITE_NOTADB`: the file is damaged, or not an SQLite database
 * - `SQLITE_IOERR` and codes that begin with it: the disk or the file system reports an error
 * - `NOT_A_QUEUE`: a database of another program, or one without an outbox
 * - `EMPTY`: the file has 0 bytes, because it was truncated: a queue's file is never empty
 * - `OLDER_SCHEMA`: a process that may write to the file must upgrade it first
 * - `NEWER_SCHEMA`: a newer eventspool created or upgraded the file
 * - `SEVERAL_NAMES`: the file has hard links, or is mounted without its directory: events that are put under one name
 *   could be lost to the other
 * - `MOVED`: the file was removed or replaced while it was open
 * - `NETWORK_FILE_SYSTEM`: locks may not work on the file's network file system: use a local disk, or
 *   `allowNetworkFileSystem`
 * - `OLD_RUNTIME`: Bun, Deno or Node is too old
 * - `NO_SUBSCRIPTION`: the subscription does not exist, or was removed
 * - `NO_ADDON`: no SQLite library can be loaded: neither the package better-sqlite3 nor the runtime's own
 * - of a collector's output: `NOT_AN_EVENT_DATABASE`, `NOT_A_FILE`, `NOT_JSON_LINES`, `HARD_LINKED`; `LOCKED`: another
 *   process uses it; `CLOSED`: it was used after `close()`
 * - of `eventspool salvage`: `EXISTS`: the new file exists; `NOTHING_FOUND`: no event can be read
 * - `IN_MEMORY`, `NOT_WAL`: the database of an outbox is in memory, or not in WAL mode
 * - `TWO_LIBRARIES`: this process opened the file with two SQLite libraries, which breaks its locks
 * - `ENOENT`, `ENOTDIR`, `EACCES` and others: the system's code for the directory or the file; `UNKNOWN`: it has none
 */
export class EventStorageError extends EventError {
  /** The name of the class. */
  override name: "EventStorageError" = "EventStorageError";
  /** SQLite's result code such as `SQLITE_FULL`, a system code such as `ENOENT`, or one of ours. */
  override readonly code: string;
  /** The file or directory. */
  readonly path: string;

  /** Takes a code, the file or directory, and the whole message. */
  constructor(code: string, path: string, problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.code = code;
    this.path = path;
  }
}

/**
 * The event and the service's rows would not commit together: an async callback, or a put outside of a transaction where
 * one is required. The event was not stored.
 */
export class EventTransactionError extends EventError {
  /** The name of the class. */
  override name: "EventTransactionError" = "EventTransactionError";
  /** Always `TRANSACTION`. */
  override readonly code: "TRANSACTION" = "TRANSACTION";
}

/** The queue was used after `close()`. The event was not stored. */
export class EventQueueClosedError extends EventError {
  /** The name of the class. */
  override name: "EventQueueClosedError" = "EventQueueClosedError";
  /** Always `QUEUE_CLOSED`. */
  override readonly code: "QUEUE_CLOSED" = "QUEUE_CLOSED";
  /** The name of the closed queue. */
  readonly queue: string;

  /** Takes the queue's name. */
  constructor(queue: string) {
    super(`Event queue ${JSON.stringify(queue)} is closed.`);
    this.queue = queue;
  }
}

/** The location of a configuration value. */
export interface ConfigurationLocation {
  /** The file, if there is one. */
  readonly file?: string;
  /** The section, such as `event-publisher:main`. */
  readonly section?: string;
  /** The key, such as `collector.hostname`, or the option's name. */
  readonly key?: string;
  /** The line in the file, from 1. */
  readonly line?: number;
}

/** An option, a queue name or a configuration file is not valid. The message never holds a secret. */
export class ConfigurationError extends EventError {
  /** The name of the class. */
  override name: "ConfigurationError" = "ConfigurationError";
  /** Always `CONFIGURATION`. */
  override readonly code: "CONFIGURATION" = "CONFIGURATION";
  /** What is wrong, without the location. */
  readonly problem: string;
  /** Where it is wrong. */
  readonly location: ConfigurationLocation;

  /** Takes what is wrong, and where. */
  constructor(problem: string, location: ConfigurationLocation = {}, options?: ErrorOptions) {
    super(describeLocation(location) + problem, options);
    this.problem = problem;
    this.location = location;
  }
}

/** `config.ini:3: [event-publisher:main] key.secret: `, as far as it is known. */
function describeLocation({ file, section, key, line }: ConfigurationLocation): string {
  const position = [file, line].filter((part) => part !== undefined).join(":");
  const parts = [position && `${position}:`, section && `[${section}]`, key && `${key}:`];
  const text = parts.filter(Boolean).join(" ");
  return text === "" ? "" : `${text} `;
}

/** How many further fields an error's message names. */
const MAX_NAMED_FIELDS = 3;

/** `Event at index 3: field user.id is not valid: expected a string (found 5). 1 more: items[3].price.` */
function describeIssues(issues: readonly EventIssue[], index: number | undefined): string {
  const [{ field, problem, found } = NO_ISSUE, ...more] = issues;
  const event = index === undefined ? "Event" : `Event at index ${index}:`;
  const what = `${event}${field === "" ? "" : ` field ${field}`} is not valid: ${problem.replace(/\.$/, "")}`;
  const named = more.slice(0, MAX_NAMED_FIELDS).map((issue) => issue.field || "the event itself");
  if (more.length > named.length) named.push("...");
  const others = more.length === 0 ? "" : ` ${more.length} more: ${named.join(", ")}.`;
  return `${what}${found === undefined ? "" : ` (found ${found})`}.${others}`;
}

const NO_ISSUE: EventIssue = { field: "", problem: "its schema does not say why", found: undefined };

const CLASSES = {
  ...{ EventError, EventTooLargeError, EventQueueFullError, EventSerializationError, EventInvalidError },
  ...{ EventStorageError, EventTransactionError, EventQueueClosedError, ConfigurationError },
};

// By name and in the registry of symbols, which all copies of the package share.
for (const [name, { prototype }] of Object.entries(CLASSES))
  Object.defineProperty(prototype, Symbol.for(`eventspool.${name}`), { value: true });
