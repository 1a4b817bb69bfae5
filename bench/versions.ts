/** The versions of what was measured. */
import { readFileSync } from "node:fs";
import process from "node:process";
import Database from "better-sqlite3";
import { pathOf } from "./settings.ts";

/** "Bun 1.4.4, better-sqlite3 13.2.0 with SQLite 3.53.1, ..." */
export function versions(): string {
  const { dependencies } = JSON.parse(readFileSync(pathOf("package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const db = new Database(":memory:");
  const sqlite = db.prepare("SELECT sqlite_version()").pluck().get();
  db.close();
  const bun = process.versions.bun;
  const runtime = bun === undefined ? `Node ${process.versions.node}` : `Bun ${bun}`;
  const own = JSON.parse(readFileSync(pathOf("../node_modules/better-sqlite3/package.json"), "utf8")) as {
    version: string;
  };
  const peers = Object.entries(dependencies).map(([name, version]) => `${name} ${version}`);
  return [runtime, `better-sqlite3 ${own.version} with SQLite ${sqlite}`, ...peers].join(", ");
}
