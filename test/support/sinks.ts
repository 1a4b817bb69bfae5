import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FsyncPolicy } from "../../src/collector/sinks/group_commit.ts";
import { JsonlSink } from "../../src/collector/sinks/jsonl.ts";
import type { Sink } from "../../src/collector/sinks/sink.ts";
import { SqliteSink } from "../../src/collector/sinks/sqlite.ts";
import { openShell } from "./shell.ts";

/** A sink in a directory. */
export interface SinkKind {
  readonly name: string;
  open(directory: string, fsync?: FsyncPolicy): Sink & AsyncDisposable;
  /** All stored events, in order. */
  read(directory: string): string[];
}

/** The sinks that store events in files. `rotating` rotates after every few batches. */
export const SINK_KINDS: Readonly<Record<"file" | "rotating" | "sqlite", SinkKind>> = {
  file: {
    name: "JSON lines",
    open: (directory, fsync = "never") => new JsonlSink(join(directory, "events.jsonl"), { fsync }),
    read: readLines,
  },
  rotating: {
    name: "rotating JSON lines",
    open: (directory, fsync = "never") =>
      new JsonlSink(join(directory, "events.jsonl"), { fsync, rotateSizeBytes: 2_000 }),
    read: readLines,
  },
  sqlite: {
    name: "SQLite",
    open: (directory, fsync = "never") => new SqliteSink(join(directory, "events.db"), { fsync }),
    read: readRows,
  },
};

/** The rotated files, in order, and then the open one. */
export function linesFiles(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => /^events.*\.jsonl$/.test(name));
  return [...names.filter((name) => name !== "events.jsonl").sort(), "events.jsonl"];
}

function readLines(directory: string): string[] {
  return linesFiles(directory).flatMap((name) => {
    const text = readFileSync(join(directory, name), "utf8");
    return text === "" ? [] : text.replace(/\n$/, "").split("\n");
  });
}

function readRows(directory: string): string[] {
  const db = openShell(join(directory, "events.db"), { isReadOnly: true });
  try {
    return db.prepareFirst<[], string>("SELECT body FROM event ORDER BY id").all();
  } finally {
    db.close();
  }
}
