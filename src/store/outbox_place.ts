/**
 * Where an outbox may be.
 *
 * @module
 */
import { EventStorageError } from "../errors.ts";
import { firstValue, mainFileOf, type SqliteConnection } from "./connection.ts";

/** Other journals make readers and writers wait for each other: a publisher would stop the service, and be stopped. */
export function refuseOtherJournal(db: SqliteConnection, path: string): void {
  const mode = firstValue(db, "PRAGMA main.journal_mode");
  if (mode === "wal") return;
  const problem = `The database ${path} is not in WAL mode (journal_mode: ${mode}), so that a service and its publisher would stop each other: run PRAGMA journal_mode = WAL on it once, it stays so.`;
  throw new EventStorageError("NOT_WAL", path, problem);
}

/** The place of an outbox in memory. */
export const IN_MEMORY = ":memory:";

/**
 * The file of a connection in which an outbox may be: its main database.
 *
 * @throws {EventStorageError} `IN_MEMORY`: no publisher could read it; `NOT_WAL`
 */
export function outboxPlaceOf(db: SqliteConnection, { allowsMemory }: { allowsMemory: boolean }): string {
  const path = mainFileOf(db);
  if (path === "") {
    if (allowsMemory) return IN_MEMORY;
    const problem =
      "The connection's main database is in memory or temporary, where no publisher finds its events: open a file " +
      "as the main database, not an attached one. Tests may pass allowMemory: true.";
    throw new EventStorageError("IN_MEMORY", IN_MEMORY, problem);
  }
  refuseOtherJournal(db, path);
  return path;
}
