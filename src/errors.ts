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
  /** Name of the queue that refused the event. */
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
  /** How many events the queue held when it refused. */
  readonly size: number;
  /** The queue's row cap. */
  readonly limit: number;
  /** Name of the queue that refused the event. */
  readonly queue: string;

  constructor(size: number, limit: number, queue: string) {
    super(
      `The event queue is full. Queue ${JSON.stringify(queue)} holds ${size} of at most ${limit} events: ` +
        "see that its publisher runs and reaches its collector, or raise maxEvents.",
    );
    this.size = size;
    this.limit = limit;
    this.queue = queue;
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

/** The queue's file or directory cannot be used: missing, not writable, full, damaged, not a queue. */
export class EventStorageError extends EventError {
  override name = "EventStorageError";
  /** SQLite's result code such as `SQLITE_FULL`, a system code such as `ENOENT`, or one of ours: `NOT_A_QUEUE`, `EMPTY`, `OLDER_SCHEMA`, `NEWER_SCHEMA`, `MOVED`, and of an outbox `IN_MEMORY`, `NOT_WAL`, `TWO_LIBRARIES`. */
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
