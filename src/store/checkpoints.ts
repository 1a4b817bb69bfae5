/**
 * Checkpoints: moving committed pages from the -wal into the database. They are the publisher's work,
 * so that no put ever pays for one.
 *
 * @module
 */
import { isBusy } from "./busy.ts";
import type { QueueFile } from "./queue_file.ts";

/** One frame of the WAL: a page and its header, in bytes. */
const FRAME_BYTES = 4_096 + 24;

/** From here on each call moves what it can; a WAL that is all moved is written again from its start. */
const PASSIVE_FRAMES = Math.ceil(8_000_000 / FRAME_BYTES);

/** From here on readers are waited for, since only then can the WAL start again; it blocks puts, so not for long. */
const RESTART_FRAMES = Math.ceil(32_000_000 / FRAME_BYTES);
const RESTART_TIMEOUT_MS = 30;

/** An idle queue's WAL is cut to nothing from this size on. */
const IDLE_FRAMES = 256;

type Mode = "NOOP" | "PASSIVE" | "RESTART" | "TRUNCATE";

/** Keeps the WAL of one queue file bounded. */
export class Checkpoints {
  readonly #file: QueueFile;

  constructor(file: QueueFile) {
    this.#file = file;
  }

  /** To be called as leases are settled: 1.7 us unless there is something to move. */
  keepUp(): void {
    const frames = this.#run("NOOP");
    if (frames < PASSIVE_FRAMES) return;
    // Moves most of it beside the puts, which RESTART locks out: 50 MB of it made a put wait 130 to 170 ms, now 35 to 65.
    this.#run("PASSIVE");
    if (frames >= RESTART_FRAMES) this.#restart();
  }

  /** To be called when the queue is idle: gives the WAL's space back. Never under load: a reused WAL makes a put 1.2 x faster. */
  tidyUp(): void {
    if (this.#run("NOOP") < IDLE_FRAMES) return;
    this.#run("PASSIVE");
    this.#run("TRUNCATE");
  }

  #restart(): void {
    this.#file.db.pragma(`busy_timeout = ${RESTART_TIMEOUT_MS}`);
    try {
      this.#run("RESTART");
    } finally {
      this.#file.db.pragma("busy_timeout = 0");
    }
  }

  /** Returns the WAL's length in frames. A checkpoint that meets another connection is simply done later. */
  #run(mode: Mode): number {
    try {
      const [row] = this.#file.db.pragma(`wal_checkpoint(${mode})`) as [{ log: number }];
      return row.log;
    } catch (error) {
      if (isBusy(error)) return 0;
      throw error;
    }
  }
}
