/**
 * Whether a queue is paused: its publishers send nothing, and its consumers get nothing. It is in the file, so that it
 * survives restarts.
 */
import type { QueueFile } from "./queue_file.ts";

/** Reads and changes it. */
export class Pause {
  readonly #file: QueueFile;
  readonly #get;
  readonly #set;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#get = file.prepareFirst<[], number | null>("SELECT paused_at_ms FROM eventspool_queue");
    this.#set = file.prepare<[number | null]>("UPDATE eventspool_queue SET paused_at_ms = ?");
  }

  /** Since when, in Unix milliseconds; undefined: it is not paused. */
  sinceMs(): number | undefined {
    return this.#file.run(() => this.#get.get()) ?? undefined;
  }

  /** Pauses or resumes the queue. @throws {EventStorageError} */
  set(isPaused: boolean): void {
    this.#file.write(() => this.#set.run(isPaused ? Date.now() : null));
  }
}
