/**
 * Waking up on a put of another process.
 *
 * @module
 */
import { existsSync, type FSWatcher, watch } from "node:fs";

/**
 * Watches a queue file's -wal, which every commit writes to. A watch costs each put 4 us, so it is
 * armed only while the queue is idle; then it wakes the publisher in 0.3 ms (Bun) to 0.7 ms (Deno).
 */
export class WalWatcher {
  readonly #walPath: string;
  readonly #onWrite: () => void;
  #watcher: FSWatcher | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  /** @param path the queue file @param onWrite called on each write to its -wal while armed */
  constructor(path: string, onWrite: () => void) {
    this.#walPath = `${path}-wal`;
    this.#onWrite = onWrite;
  }

  /** Whether it watches. */
  get isArmed(): boolean {
    return this.#watcher !== undefined;
  }

  /** Starts watching. True: it was not armed before, so look for events once more: one may have come first. */
  arm(): boolean {
    // Without a -wal, or an inotify watch left, the caller's poll finds the events. Looked at first, since
    // Deno reports a missing file only later.
    if (this.#watcher !== undefined || !existsSync(this.#walPath)) return false;
    try {
      this.#watcher = watch(this.#walPath, { persistent: false }, () => this.#written());
    } catch {
      return false;
    }
    this.#watcher.on("error", () => this.disarm());
    return true;
  }

  /** Stops watching. */
  disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /**
   * How long ago the -wal was written, in milliseconds; Infinity: not yet. A commit can be seen only
   * some time after its write: usually microseconds, but the first put after a checkpoint syncs in
   * between, and a busy machine may halt it there (8 of 100 puts, when it was tried). So who wakes up
   * and finds nothing looks again, and again after as long as it has waited already.
   */
  quietForMs(): number {
    return performance.now() - this.#writtenAtMs;
  }

  #written(): void {
    this.#writtenAtMs = performance.now();
    this.#onWrite();
  }
}
