/** The floor in C, compiled with the SQLite that better-sqlite3 brings. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Task } from "./programs/rounds.ts";
import { has, pathOf } from "./settings.ts";

/** Those of better-sqlite3's build that concern what is measured. */
const DEFINES = [
  "SQLITE_THREADSAFE=2",
  "SQLITE_DEFAULT_MEMSTATUS=0",
  "SQLITE_OMIT_SHARED_CACHE",
  "SQLITE_DEFAULT_WAL_SYNCHRONOUS=1",
];

let binary: string | undefined;

/** The command that does a task in C; empty where there is no C compiler, or it fails. */
export function cFloor(task: Task): string[] {
  binary ??= compile();
  return binary === "" ? [] : [binary, JSON.stringify(task), pathOf("../schema.sql")];
}

function compile(): string {
  const sqlite = pathOf("../node_modules/better-sqlite3/deps/sqlite3");
  if (!has("cc") || !existsSync(join(sqlite, "sqlite3.c"))) return "";
  const output = join(mkdtempSync(join(tmpdir(), "eventspool-bench-c-")), "bare_insert");
  const sources = [pathOf("programs/bare_insert.c"), join(sqlite, "sqlite3.c")];
  const flags = ["-O2", ...DEFINES.map((define) => `-D${define}`), `-I${sqlite}`];
  console.error("Compiling SQLite for the floor in C, once: half a minute.");
  const { status } = spawnSync("cc", [...flags, ...sources, "-o", output, "-lm"], { stdio: "ignore" });
  return status === 0 ? output : "";
}
