/** What the benchmark uses of Bun's own SQLite; `@types/bun` would bring a second set of Node's types. */
declare module "bun:sqlite" {
  export class Database {
    constructor(path: string);
    exec(sql: string): unknown;
    query(sql: string): { run(...values: (number | Uint8Array)[]): unknown };
    close(): void;
  }
}
