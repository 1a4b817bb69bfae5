/**
 * How connections are set.
 *
 * @module
 */
import type Database from "better-sqlite3";
import type { QueueFileOptions } from "./queue_file.ts";

/**
 * Checkpoints are the publisher's work, so that no put pays for one. This many WAL pages (64 MB) are
 * the net for a service that lives without a publisher.
 */
const PRODUCER_AUTOCHECKPOINT_PAGES = 16_000;

/** The cache of pages, in KiB. A queue is used at its ends: with better-sqlite3's 16 MB a drain is no faster. */
const CACHE_KIB = 2_000;

/** On a connection to a queue's own file. */
export function setPragmas(
  db: Database.Database,
  { role, durability }: Pick<QueueFileOptions, "role" | "durability">,
): void {
  // After journal_mode: on its own, SQLite may choose another level for WAL.
  db.pragma(`synchronous = ${durability === "power" ? "FULL" : "NORMAL"}`);
  db.pragma(`wal_autocheckpoint = ${role === "producer" ? PRODUCER_AUTOCHECKPOINT_PAGES : 0}`);
  db.pragma(`cache_size = -${CACHE_KIB}`);
  db.pragma("busy_timeout = 0"); // from here on busy.ts waits
}

/**
 * On our own connection only. Checkpoints of a service's database are left to SQLite, at its 1,000 pages: those
 * that wait for readers or lock writers out are not ours to make. It is the service's `synchronous` that counts:
 * what we commit are claims and acks, and losing one brings a duplicate, not a loss.
 */
export function setOutboxPragmas(db: Database.Database): void {
  db.pragma("synchronous = NORMAL");
  db.pragma(`cache_size = -${CACHE_KIB}`);
  db.pragma("busy_timeout = 0"); // from here on busy.ts waits
}
