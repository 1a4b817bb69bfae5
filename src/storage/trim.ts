/**
 * Trimming: deleting events that every subscription has settled and whose retention has passed.
 *
 * An ack deletes nothing, since each page that a deletion empties is written to the -wal: 1.3 to 1.5 us of CPU an event.
 * Where a table is deleted whole, SQLite frees its pages without writing them (3 pages for 1,500 events instead of 93):
 * 0.22 us an event. So while a queue flows and little must stay, the table is cleared and what stays is put back, in
 * one transaction. Else events are deleted in chunks, in idle moments.
 */
import { dirname } from "node:path";
import { isNearlyFull } from "./disk_space.ts";
import { isBusy } from "./lock_wait.ts";
import type { QueueFile } from "./queue_file.ts";
import { type IdBounds, KEPT_RANGES } from "./subscriptions.ts";

/**
 * When {@link Trimmer.keepUp} looks: after so many bytes were settled (a little more than a full batch has), and after so
 * many milliseconds. While others write, a look costs 80 us: with each batch that was a tenth of a publisher's CPU at 1,000 events/s.
 */
const LOOK_EVERY_BYTES = 550_000;
const LOOK_EVERY_MS = 1_000;

/** How often it looks whether the disk is nearly full while events are retained, in milliseconds: 40 us. */
const DISK_CHECK_MS = 10;

/** What is worth a trim while the queue is busy, in bytes of bodies. */
const MIN_TRIMMED_BYTES = 1_000_000;

/** From when on an idle queue is trimmed of less, in milliseconds. */
const QUIET_AFTER_MS = 1_000;

/** What may be cleared at once, in bytes of bodies: SQLite frees a MB in 0.66 ms, and the lock is held for that. */
const MAX_CLEARED_BYTES = 2_500_000;

/** What may stay, and be put back, in events and in bytes of bodies: under 1 ms of the lock. */
const MAX_KEPT_EVENTS = 500;
const MAX_KEPT_BYTES = 300_000;

/** How long a chunk may hold the lock, in milliseconds; how many events it has adapts to that. */
const CHUNK_MS = 1;
const FIRST_CHUNK_EVENTS = 250;
const MIN_CHUNK_EVENTS = 8;
const MAX_CHUNK_EVENTS = 2_500;
const MAX_CHUNK_BYTES = 1_000_000;

/** How many events are measured at once, for a retention: 0.2 ms of the lock. */
const MEASURED_EVENTS = 2_000;

/** How many of the oldest events say how large one is. */
const SAMPLE_EVENTS = 32;

/** What decides what may go. */
interface Bounds {
  /** The lowest id that has an event; null: there is none. */
  readonly firstId: number | null;
  readonly newestId: number | null;
  /** Up to here every subscription has claimed. */
  readonly claimedId: number;
  readonly maxAgeMs: number | null;
  readonly maxBytes: number | null;
  readonly measuredId: number;
  readonly retainedBytes: number;
}

type KeptRow = { id: number; putAtMs: number; body: Uint8Array; trace: string | null };

/** Trims one queue file. Any process may, and several at once: each transaction decides again what may go. */
export class Trimmer {
  readonly #file: QueueFile;
  readonly #sql;
  #lookAtMs = 0;
  #settledBytes = 0;
  #chunkEvents = FIRST_CHUNK_EVENTS;
  #pages = 0;
  #isDiskLow = false;
  #diskLookAtMs = 0;

  constructor(file: QueueFile) {
    this.#file = file;
    this.#sql = prepareStatements(file);
  }

  /**
   * To be called as leases are settled: trims where that is cheap, or where the file would grow without it. A
   * backlog that is being drained waits for an idle moment. Returns whether the disk is nearly full and there may be
   * more to trim: then the -wal should be checkpointed first.
   *
   * @param settledBytes how much was settled since the last call @throws {EventStorageError}
   */
  keepUp(settledBytes = 0): boolean {
    this.#settledBytes += settledBytes;
    const nowMs = performance.now();
    if (this.#settledBytes < LOOK_EVERY_BYTES && nowMs < this.#lookAtMs) return false;
    this.#settledBytes = 0;
    this.#lookAtMs = nowMs + LOOK_EVERY_MS;
    const bounds = this.#bounds();
    const way = this.#decide(bounds, MIN_TRIMMED_BYTES);
    if (way === "clear") this.#clear();
    else if (this.#hasGrown() && way === "delete") this.#deleteChunk();
    this.#measure(bounds);
    if (!this.#diskIsLow(bounds) || this.#deleteChunk() === 0) return false;
    this.#lookAtMs = 0;
    return true;
  }

  /**
   * To be called while the queue is idle. Trims for about a millisecond, and returns whether there is more to do.
   *
   * @param idleForMs for how long it has been, in milliseconds: after a second, little is trimmed, too
   * @throws {EventStorageError}
   */
  onIdle(idleForMs: number): boolean {
    const isQuiet = idleForMs >= QUIET_AFTER_MS;
    try {
      const bounds = this.#bounds();
      const way = this.#decide(bounds, isQuiet ? 1 : MIN_TRIMMED_BYTES);
      if (way === "clear") return this.#clear() > 0;
      return (way === "delete" && this.#deleteChunk({ isWhole: !isQuiet }) > 0) || this.#measure(bounds);
    } catch (error) {
      if (isBusy(error)) return false; // not idle, then
      throw error;
    }
  }

  /** Deletes the events up to an id that every subscription has settled, whatever their retention. @throws {EventStorageError} */
  purge(lastId: number): void {
    while (this.#deleteChunk({ lastId, isRetained: false }) > 0);
  }

  #bounds(): Bounds {
    return this.#file.run(() => this.#sql.bounds.get()) as Bounds;
  }

  /** Puts extend the file when there is no free page. */
  #hasGrown(): boolean {
    const before = this.#pages;
    this.#pages = this.#file.run(() => this.#sql.pageCount.get()) as number;
    return before > 0 && this.#pages > before;
  }

  /** What is retained must not stop puts. */
  #diskIsLow(bounds: Bounds): boolean {
    if (!hasRetention(bounds)) return false;
    const nowMs = performance.now();
    if (nowMs < this.#diskLookAtMs) return this.#isDiskLow;
    this.#isDiskLow = isNearlyFull(dirname(this.#file.path));
    this.#diskLookAtMs = nowMs + DISK_CHECK_MS;
    return this.#isDiskLow;
  }

  /** How to trim, if it is worth it: if there are `minBytes` of bodies to delete. */
  #decide(bounds: Bounds, minBytes: number): "clear" | "delete" | "wait" {
    const { firstId, newestId, claimedId } = bounds;
    if (firstId === null || newestId === null) return "wait";
    if (hasRetention(bounds)) return "delete"; // most of it stays
    const eventBytes = this.#file.run(() => this.#sql.sample.get(firstId)) as number;
    let bytes = 0;
    for (const range of this.#trimmable(bounds)) bytes += lengthOf(range) * eventBytes;
    if (bytes < minBytes) return "wait";
    const kept = this.#keptRanges(claimedId, newestId);
    const mayClear =
      bytes <= MAX_CLEARED_BYTES &&
      kept.reduce((sum, range) => sum + lengthOf(range), 0) <= MAX_KEPT_EVENTS &&
      kept.reduce((sum, range) => sum + this.#bytesIn(range), 0) <= MAX_KEPT_BYTES;
    return mayClear ? "clear" : "delete";
  }

  /** Clears the table and puts back what stays. Returns how many events went. */
  #clear(): number {
    return this.#file.transaction(() => {
      const bounds = this.#bounds();
      if (this.#decide(bounds, 1) !== "clear") return 0; // another process was faster
      const { firstId, newestId, claimedId } = bounds as Bounds & { firstId: number; newestId: number };
      const kept = this.#keptRanges(claimedId, newestId);
      const rows = kept.flatMap((range) => this.#sql.rows.all(range.firstId, range.lastId));
      const before = this.#sql.count.get(firstId, newestId) as number;
      this.#sql.clear.run();
      for (const { id, putAtMs, body, trace } of rows) this.#sql.putBack.run(id, putAtMs, body, trace);
      this.#sql.noteTrimmed.run(claimedId, claimedId);
      this.#sql.forgetRetried.run(firstId, claimedId);
      return before - rows.length;
    });
  }

  /**
   * Deletes a chunk of the events that may be trimmed, the oldest first. Returns the number of ids; 0: there are none.
   *
   * @param options `lastId`: none above it; `isRetained`: whether the retention counts; `isWhole`: less than a chunk waits
   */
  #deleteChunk(options: { lastId?: number; isRetained?: boolean; isWhole?: boolean } = {}): number {
    const { lastId = Number.MAX_SAFE_INTEGER, isRetained = true, isWhole = false } = options;
    const look = (): IdBounds | undefined => {
      const bounds = this.#bounds();
      const settled = { ...bounds, claimedId: Math.min(bounds.claimedId, lastId) };
      return this.#nextChunk(settled, { isRetained: isRetained && !this.#diskIsLow(bounds), isWhole });
    };
    if (look() === undefined) return 0; // the usual case, without a lock
    const startedAtMs = performance.now();
    const deleted = this.#file.transaction(() => {
      const chunk = look(); // again: another process may trim too
      if (chunk === undefined) return 0;
      this.#sql.subtract.run(chunk.firstId, chunk.lastId);
      this.#sql.delete.run(chunk.firstId, chunk.lastId);
      this.#sql.noteTrimmed.run(chunk.lastId, chunk.lastId);
      this.#sql.forgetRetried.run(chunk.firstId, chunk.lastId);
      return lengthOf(chunk);
    });
    this.#adapt(performance.now() - startedAtMs);
    return deleted;
  }

  #adapt(tookMs: number): void {
    if (tookMs > CHUNK_MS) this.#chunkEvents = Math.max(MIN_CHUNK_EVENTS, Math.floor(this.#chunkEvents / 2));
    else if (tookMs < CHUNK_MS / 2) this.#chunkEvents = Math.min(MAX_CHUNK_EVENTS, this.#chunkEvents * 2);
  }

  /** The oldest range that may go, of a chunk's length at most. */
  #nextChunk(
    bounds: Bounds,
    { isRetained, isWhole }: { isRetained: boolean; isWhole: boolean },
  ): IdBounds | undefined {
    for (const { firstId, lastId } of this.#trimmable(bounds)) {
      const eventBytes = this.#file.run(() => this.#sql.sample.get(firstId)) as number;
      const events = Math.min(this.#chunkEvents, Math.max(1, Math.floor(MAX_CHUNK_BYTES / eventBytes)));
      const settled = { firstId, lastId: Math.min(lastId, firstId + events - 1) };
      const chunk = isRetained && hasRetention(bounds) ? this.#unretained(settled, bounds) : settled;
      return isWhole && chunk !== undefined && lengthOf(chunk) < events ? undefined : chunk;
    }
    return undefined;
  }

  /** The ranges that every subscription has settled, the oldest first. Each begins with an existing event. */
  *#trimmable({ firstId, claimedId }: Bounds): Generator<IdBounds> {
    if (firstId === null) return;
    let fromId = firstId;
    const end = { firstId: claimedId + 1, lastId: claimedId + 1 };
    for (const kept of [...this.#keptRanges(claimedId, claimedId), end]) {
      const lastId = Math.min(kept.firstId, end.firstId) - 1;
      const foundId = fromId > lastId ? null : this.#file.run(() => this.#sql.firstFrom.get(fromId));
      if (foundId != null && foundId <= lastId) yield { firstId: foundId, lastId };
      fromId = Math.max(fromId, kept.lastId + 1);
    }
  }

  /** What of a chunk is no longer retained. */
  #unretained(
    chunk: IdBounds,
    { maxAgeMs, maxBytes, retainedBytes, measuredId }: Bounds,
  ): IdBounds | undefined {
    const { firstId } = chunk;
    if (maxAgeMs !== null) {
      const youngId = this.#sql.firstYounger.get(firstId, chunk.lastId, Date.now() - maxAgeMs);
      const lastId = youngId == null ? chunk.lastId : youngId - 1;
      if (lastId >= firstId) return { firstId, lastId };
    }
    let excessBytes = maxBytes === null ? 0 : retainedBytes - maxBytes;
    let lastId = firstId - 1;
    if (excessBytes > 0)
      for (const { id, bytes } of this.#sql.sizes.all(firstId, Math.min(chunk.lastId, measuredId))) {
        if (excessBytes <= 0) break;
        excessBytes -= bytes;
        lastId = id;
      }
    return lastId < firstId ? undefined : { firstId, lastId };
  }

  /** Counts the bytes of what has been claimed since, for a retention. Returns whether there was anything. */
  #measure({ claimedId, measuredId, ...retention }: Bounds): boolean {
    if (!hasRetention(retention) || measuredId >= claimedId) return false;
    this.#file.transaction(() => {
      const now = this.#bounds();
      const fromId = Math.max(now.measuredId + 1, now.firstId ?? now.claimedId + 1);
      const lastId = Math.min(now.claimedId, fromId + MEASURED_EVENTS - 1);
      if (hasRetention(now) && lastId > now.measuredId) this.#sql.measure.run(fromId, lastId, lastId);
    });
    return true;
  }

  /** The ids up to `claimedId` that a lease or a replay still needs, and all above it up to `newestId`: sorted, apart. */
  #keptRanges(claimedId: number, newestId: number): IdBounds[] {
    const ranges = this.#file.run(() => this.#sql.kept.all(claimedId));
    if (newestId > claimedId) ranges.push({ firstId: claimedId + 1, lastId: newestId });
    const merged: { firstId: number; lastId: number }[] = [];
    for (const range of ranges) {
      const last = merged.at(-1);
      if (last !== undefined && range.firstId <= last.lastId + 1)
        last.lastId = Math.max(last.lastId, range.lastId);
      else merged.push({ ...range });
    }
    return merged;
  }

  #bytesIn({ firstId, lastId }: IdBounds): number {
    return this.#file.run(() => this.#sql.bytes.get(firstId, lastId)) as number;
  }
}

function hasRetention({ maxAgeMs, maxBytes }: Pick<Bounds, "maxAgeMs" | "maxBytes">): boolean {
  return maxAgeMs !== null || maxBytes !== null;
}

function lengthOf({ firstId, lastId }: IdBounds): number {
  return lastId - firstId + 1;
}

function prepareStatements(file: QueueFile) {
  return {
    bounds: file.prepare<[], Bounds>(
      `SELECT (SELECT min(id) FROM eventspool_event) AS firstId, (SELECT max(id) FROM eventspool_event) AS newestId,
         (SELECT min(claimed_id) FROM eventspool_subscription) AS claimedId,
         retention_ms AS maxAgeMs, retention_bytes AS maxBytes,
         measured_id AS measuredId, retained_bytes AS retainedBytes
       FROM eventspool_queue`,
    ),
    kept: file.prepare<[number], IdBounds>(
      `SELECT firstId, lastId FROM (${KEPT_RANGES}) WHERE firstId <= ? ORDER BY firstId`,
    ),
    pageCount: file.prepareFirst<[], number>("PRAGMA page_count"),
    // A LIMIT that is a parameter makes SQLite compile the statement again each time.
    sample: file.prepareFirst<[number], number>(
      `SELECT coalesce(avg(size), 0) FROM
         (SELECT length(body) AS size FROM eventspool_event WHERE id >= ? ORDER BY id LIMIT ${SAMPLE_EVENTS})`,
    ),
    bytes: file.prepareFirst<[number, number], number>(
      "SELECT coalesce(sum(length(body)), 0) FROM eventspool_event WHERE id BETWEEN ? AND ?",
    ),
    sizes: file.prepare<[number, number], { id: number; bytes: number }>(
      "SELECT id, length(body) AS bytes FROM eventspool_event WHERE id BETWEEN ? AND ? ORDER BY id",
    ),
    count: file.prepareFirst<[number, number], number>(
      "SELECT count(*) FROM eventspool_event WHERE id BETWEEN ? AND ?",
    ),
    firstFrom: file.prepareFirst<[number], number | null>(
      "SELECT min(id) FROM eventspool_event WHERE id >= ?",
    ),
    firstYounger: file.prepareFirst<[number, number, number], number>(
      "SELECT id FROM eventspool_event WHERE id BETWEEN ? AND ? AND put_at_ms > ? ORDER BY id LIMIT 1",
    ),
    rows: file.prepare<[number, number], KeptRow>(
      `SELECT id, put_at_ms AS putAtMs, CAST(body AS BLOB) AS body, trace FROM eventspool_event
       WHERE id BETWEEN ? AND ? ORDER BY id`,
    ),
    clear: file.prepare<[]>("DELETE FROM eventspool_event"),
    putBack: file.prepare<[number, number, Uint8Array, string | null]>(
      "INSERT INTO eventspool_event (id, put_at_ms, body, trace) VALUES (?, ?, ?, ?)",
    ),
    delete: file.prepare<[number, number]>("DELETE FROM eventspool_event WHERE id BETWEEN ? AND ?"),
    noteTrimmed: file.prepare<[number, number]>(
      "UPDATE eventspool_queue SET claimed_id = ? WHERE claimed_id < ?",
    ),
    forgetRetried: file.prepare<[number, number]>(
      `DELETE FROM eventspool_retried
       WHERE id BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM eventspool_event WHERE id = eventspool_retried.id)`,
    ),
    subtract: file.prepare<[number, number]>(
      `UPDATE eventspool_queue SET retained_bytes = retained_bytes -
         (SELECT coalesce(sum(length(body)), 0) FROM eventspool_event
          WHERE id BETWEEN ? AND min(?, measured_id))
       WHERE measured_id > 0`,
    ),
    measure: file.prepare<[number, number, number]>(
      `UPDATE eventspool_queue SET retained_bytes = retained_bytes +
         (SELECT coalesce(sum(length(body)), 0) FROM eventspool_event WHERE id BETWEEN ? AND ?),
         measured_id = ?`,
    ),
  };
}
