import { existsSync, writeFileSync } from "node:fs";
import { openDatabase } from "../../src/storage/sqlite/driver.ts";
import type { Database, OpenOptions } from "../../src/storage/sqlite/sqlite.ts";

/**
 * Opens a database as an operator's shell does, and makes it if it is not there. With the library of this process, so
 * that a queue may be open beside it.
 */
export function openShell(path: string, options: Partial<OpenOptions> = {}): Database {
  if (!existsSync(path)) writeFileSync(path, "");
  return openDatabase(path, { isReadOnly: false, busyTimeoutMs: 5_000, ...options });
}

/** A look into a queue's file from outside: `using db = openReadonly(file);`. */
export function openReadonly(file: string): { get(sql: string): unknown } & Disposable {
  const db = openShell(file, { isReadOnly: true });
  return { get: (sql) => db.prepareFirst(sql).get(), [Symbol.dispose]: () => db.close() };
}
