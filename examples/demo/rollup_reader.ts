import { existsSync } from "node:fs";
import Database from "better-sqlite3";

/** One line of the rollup. */
export interface RollupRow {
  readonly hour: string;
  readonly action: string;
  readonly noun: string;
  readonly count: number;
}

/** Reads the counts of examples/rollup.ts. */
export class RollupReader implements Disposable {
  readonly #path: string;
  #db: Database.Database | undefined;

  /** @param path its database, which may not exist yet */
  constructor(path: string) {
    this.#path = path;
  }

  rows(): RollupRow[] {
    if (this.#db === undefined && !existsSync(this.#path)) return [];
    try {
      this.#db ??= new Database(this.#path, { readonly: true });
      const all = "SELECT hour, action, noun, count FROM rollup ORDER BY hour, count DESC";
      return this.#db.prepare<[], RollupRow>(all).all();
    } catch {
      return []; // it is being created
    }
  }

  /** How many events are counted. */
  total(): number {
    return this.rows().reduce((total, { count }) => total + count, 0);
  }

  [Symbol.dispose](): void {
    this.#db?.close();
  }
}
