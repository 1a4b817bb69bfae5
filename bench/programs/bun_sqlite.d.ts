/** The parts of bun:sqlite that the benchmark uses. `@types/bun` would add a second set of Node's types. */
declare module "bun:sqlite" {
  export class Database {
    constructor(path: string);
    exec(sql: string): unknown;
    query(sql: string): { run(...values: (number | Uint8Array)[]): unknown };
    close(): void;
  }
}
