/**
 * The errors eventspool throws. All of them are {@link EventError}s: a service that must not
 * fail because of its events catches that one class.
 *
 * @module
 */

/** Base class of every error eventspool throws on purpose. */
export class EventError extends Error {
  override name = "EventError";
}

/** The serialized event is larger than the limit. It was not stored. */
export class EventTooLargeError extends EventError {
  override name = "EventTooLargeError";
  /** Size of the serialized event, in bytes. */
  readonly size: number;
  /** The largest size that passes, in bytes. */
  readonly limit: number;
  /** Name of the queue that rejected the event. */
  readonly queue: string;

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
 * The queue holds as many events as it may. The event was not stored. Usually the publisher is
 * not running, or has trouble reaching its collector.
 */
export class EventQueueFullError extends EventError {
  override name = "EventQueueFullError";
  /** How many events the queue held when it rejected; of `bytes`, how large those of `putGrouped` are that wait in this process. */
  readonly size: number;
  /** The queue's row cap; of `bytes`, how large those that wait may be. */
  readonly limit: number;
  /** Name of the queue that rejected the event. */
  readonly queue: string;
  /** What `size` and `limit` count: `events` in the queue, or `bytes` that wait in memory for their commit. */
  readonly unit: "events" | "bytes";

  constructor(size: number, limit: number, queue: string, unit: "events" | "bytes" = "events") {
    super(
      unit === "events"
        ? `The event queue is full. Queue ${JSON.stringify(queue)} holds ${size} of at most ${limit} events: ` +
            "see that its publisher runs and reaches its collector, or raise maxEvents."
        : `Too many grouped puts wait for their commit. Queue ${JSON.stringify(queue)} has ${size} of at most ${limit} ` +
            "bytes of them in this process: await putGrouped before you put more, or use putMany.",
    );
    this.size = size;
    this.limit = limit;
    this.queue = queue;
    this.unit = unit;
  }
}

/** The event cannot be written in the queue's format. It was not stored. */
export class EventSerializationError extends EventError {
  override name = "EventSerializationError";
  /** Where in the event the value is, such as `user.flags[2]`; empty for the event itself. */
  readonly field: string;

  constructor(field: string, problem: string, options?: ErrorOptions) {
    super(field === "" ? `Event ${problem}` : `Event field ${field} ${problem}`, options);
    this.field = field;
  }
}

/** One thing that a queue's schema found wrong with an event. */
export interface EventIssue {
  /** Where in the event, such as `user.id` or `items[3].price`; empty for the event itself. */
  readonly field: string;
  /** What is wrong, in the words of the schema's library. Texts of the event are left out of it, and it is cut at 200 characters. */
  readonly problem: string;
  /** What stood there: a number, a constant, or the kind of value, such as `a string of length 12`. Undefined: it cannot be looked at. */
  readonly found: string | undefined;
}

/**
 * The event is not what the queue's `schema` asks for. It was not stored, nor was it serialized.
 *
 * No {@link EventSerializationError}, which is a mistake of the program: where events are made of what users
 * send, an invalid one may be theirs, and is answered with a 400 and its {@link issues}.
 */
export class EventInvalidError extends EventError {
  override name = "EventInvalidError";
  /** Everything that was found wrong, the first 20 at most. */
  readonly issues: readonly EventIssue[];
  /** The first issue's field. */
  readonly field: string;
  /** Which of the events given to `putMany` it is, from 0; undefined for a single put. */
  readonly index: number | undefined;

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
 * - `SQLITE_FULL`, `SQLITE_IOERR_SHMSIZE`: the disk is full; what was put before is not lost
 * - `SQLITE_BUSY`, `SQLITE_PROTOCOL` and those that begin so: another process holds the file's lock for too long
 * - `SQLITE_READONLY`, `SQLITE_READONLY_DIRECTORY`, `SQLITE_PERM`, `SQLITE_CANTOPEN`: owner or mode of file or directory
 * - `SQLITE_CORRUPT`, `SQLITE_NOTADB`: the file is damaged, or no SQLite database
 * - `SQLITE_IOERR` and those that begin so: the disk or the file system reports an error
 * - `NOT_A_QUEUE`: a database of another program, or one without an outbox
 * - `EMPTY`: a file of 0 bytes, which was cut off: a queue's never is
 * - `OLDER_SCHEMA`: it must first be upgraded, by a process that may write to it
 * - `NEWER_SCHEMA`: a newer eventspool has made or upgraded it
 * - `MOVED`: the file was removed or replaced while it was open
 * - `NETWORK_FILE_SYSTEM`: it is on one, where locks may not hold: use a local disk, or `allowNetworkFileSystem`
 * - `OLD_RUNTIME`: Bun or Node is too old for better-sqlite3, and has no SQLite of its own that is new enough
 * - `NO_ADDON`: no SQLite library can be loaded: neither the package better-sqlite3 nor the runtime's own
 * - of a collector's output: `NOT_AN_EVENT_DATABASE`, `NOT_A_FILE`, `NOT_JSON_LINES`, `HARD_LINKED`; `LOCKED`: another process has it; `CLOSED`: it
 *   was used after `close()`
 * - `IN_MEMORY`, `NOT_WAL`: the database of an outbox is in memory, or not in WAL mode
 * - `TWO_LIBRARIES`: one process has opened the file with two SQLite libraries, which breaks its locks
 * - `ENOENT`, `ENOTDIR`, `EACCES` and others: the system's, about the directory or the file; `UNKNOWN`: it gave none
 */
export class EventStorageError extends EventError {
  override name = "EventStorageError";
  /** SQLite's result code such as `SQLITE_FULL`, a system code such as `ENOENT`, or one of ours. */
  readonly code: string;
  /** The file or directory. */
  readonly path: string;

  constructor(code: string, path: string, problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.code = code;
    this.path = path;
  }
}

/**
 * An outbox was used in a way in which event and row would not commit together: an async callback, a put outside
 * of a transaction where one is required. The event was not stored.
 */
export class EventTransactionError extends EventError {
  override name = "EventTransactionError";
}

/** The queue was used after `close()`. The event was not stored. */
export class EventQueueClosedError extends EventError {
  override name = "EventQueueClosedError";
  /** Name of the closed queue. */
  readonly queue: string;

  constructor(queue: string) {
    super(`Event queue ${JSON.stringify(queue)} is closed.`);
    this.queue = queue;
  }
}

/** Where a configuration value stands. */
export interface ConfigurationPlace {
  /** The file, where there is one. */
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
  override name = "ConfigurationError";
  /** What is wrong, without the place. */
  readonly problem: string;
  /** Where it is wrong. */
  readonly place: ConfigurationPlace;

  constructor(problem: string, place: ConfigurationPlace = {}, options?: ErrorOptions) {
    super(describePlace(place) + problem, options);
    this.problem = problem;
    this.place = place;
  }
}

/** `config.ini:3: [event-publisher:main] key.secret: `, as far as it is known. */
function describePlace({ file, section, key, line }: ConfigurationPlace): string {
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
