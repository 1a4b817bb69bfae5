/**
 * Where a collector keeps events: the keys `sink`, `output` and `output.*` of `[event-collector]`.
 *
 * @module
 */

import type { ConfigSection } from "./config_section.ts";
import { type NatsSinkConfig, readNatsSink } from "./nats_config.ts";
import { bytesIn, durationMsIn, MAX_DURATION_MS, oneOf, optional, parseFileMode } from "./parsers.ts";
import { describePostgres, type PostgresConfig, readPostgres } from "./postgres_config.ts";

/** How far apart the syncs of `output.fsync = interval` are unless configured, in milliseconds: as the publisher's are. */
export const DEFAULT_FSYNC_INTERVAL_MS = 100;

/** The smallest size at which a file can be told to rotate, in bytes: some batches, or there would be a file for each. */
const MIN_ROTATE_BYTES = 1_048_576;

/** The largest size at which a file can be told to rotate, in bytes: 1 TiB. */
const MAX_ROTATE_BYTES = 1_099_511_627_776;

/** The shortest age at which a file can be told to rotate, in milliseconds: 86,400 files a day. */
const MIN_ROTATE_AGE_MS = 1_000;

/** When what was kept is synced to the disk. All survive the death of the process. */
export interface SyncConfig {
  /**
   * `output.fsync`: `always`, before a batch is answered; `interval`, within `output.fsync_interval`; `never`, when the
   * operating system does. Default: `always`, since the publisher deletes events after the answer.
   */
  readonly fsync: "always" | "interval" | "never";
  /** `output.fsync_interval`, the time between syncs with `interval`, in milliseconds. Default: 100 ms. */
  readonly fsyncIntervalMs: number;
}

/** Where events are kept in files. */
export interface OutputConfig extends SyncConfig {
  /** `output.mode`: the file mode of new files, in octal; an existing file keeps its mode. Default: 0600. */
  readonly fileMode: number;
}

/** `sink = file`: JSON texts, one a line. */
export interface FileSinkConfig extends OutputConfig {
  /** Always `file`. */
  readonly kind: "file";
  /** `output`: the file, as an absolute path. Relative in a configuration file, it is so to that file's directory. Default: `events.jsonl`. */
  readonly path: string;
  /** `output.rotate_size`: the size beyond which a file does not grow, in bytes, 1 MiB to 1 TiB. Default: none. */
  readonly rotateSizeBytes: number | undefined;
  /** `output.rotate_age`: how old a file with events grows, in milliseconds, 1 s to 24 h. Default: any age. */
  readonly rotateAgeMs: number | undefined;
}

/** `sink = sqlite`: a table of a SQLite database. */
export interface SqliteSinkConfig extends OutputConfig {
  /** Always `sqlite`. */
  readonly kind: "sqlite";
  /** `output`: the database's file, as for `sink = file`. Default: `events.db`. */
  readonly path: string;
}

/** Where a collector keeps events. `sink` says which it is; default: `file`. */
export type SinkConfig = FileSinkConfig | SqliteSinkConfig | NatsSinkConfig | PostgresConfig;

/** How each sink's keys are read. A sink that is added has its entry here. */
const READERS = {
  file: readFileSink,
  sqlite: readSqliteSink,
  nats: readNats,
  postgres: readPostgresSink,
} as const;

const KINDS = Object.keys(READERS) as (keyof typeof READERS)[];

const POLICIES = ["always", "interval", "never"] as const;

const OUTPUT_KEYS = [
  "output",
  "output.mode",
  "output.fsync",
  "output.fsync_interval",
  "output.rotate_size",
  "output.rotate_age",
];

const FILE_KEYS = ["output.rotate_size", "output.rotate_age"];

/** Reads it from the collector's section. @throws {ConfigurationError} */
export function readSink(section: ConfigSection): SinkConfig {
  const kind = section.read("sink", optional(oneOf(...KINDS), "file" as const));
  return READERS[kind](section);
}

function readFileSink(section: ConfigSection): FileSinkConfig {
  return {
    kind: "file",
    path: section.read("output", (text) => section.parsePath(text || "events.jsonl")),
    ...readOutput(section),
    rotateSizeBytes: section.read(
      "output.rotate_size",
      optional(bytesIn({ min: MIN_ROTATE_BYTES, max: MAX_ROTATE_BYTES }), undefined),
    ),
    rotateAgeMs: section.read(
      "output.rotate_age",
      optional(durationMsIn({ min: MIN_ROTATE_AGE_MS, max: MAX_DURATION_MS }), undefined),
    ),
  };
}

function readSqliteSink(section: ConfigSection): SqliteSinkConfig {
  rejectKeys(section, FILE_KEYS, "is for sink = file, and the sink is sqlite: leave it out");
  return {
    kind: "sqlite",
    path: section.read("output", (text) => section.parsePath(text || "events.db")),
    ...readOutput(section),
  };
}

function readNats(section: ConfigSection): NatsSinkConfig {
  rejectKeys(section, OUTPUT_KEYS, "is for a file or a database, and the sink is nats: leave it out");
  return readNatsSink(section);
}

function readPostgresSink(section: ConfigSection): PostgresConfig {
  rejectKeys(
    section,
    OUTPUT_KEYS,
    "is for a file or a database file, and the sink is postgres: leave it out",
  );
  return readPostgres(section);
}

function readOutput(section: ConfigSection): OutputConfig {
  const fileMode = section.read("output.mode", optional(parseFileMode, DEFAULT_OUTPUT_MODE));
  return { ...readSync(section), fileMode };
}

/** The default of `output.mode`: events are nobody else's business. */
const DEFAULT_OUTPUT_MODE = 0o600;

function readSync(section: ConfigSection): SyncConfig {
  const fsync = section.read("output.fsync", optional(oneOf(...POLICIES), "always" as const));
  const problem = `is for output.fsync = interval, and that is ${fsync}: leave one of them out`;
  if (fsync !== "interval") rejectKeys(section, ["output.fsync_interval"], problem);
  const fsyncIntervalMs = section.read(
    "output.fsync_interval",
    optional(durationMsIn({ min: 1, max: MAX_DURATION_MS }), DEFAULT_FSYNC_INTERVAL_MS),
  );
  return { fsync, fsyncIntervalMs };
}

/** Rejects keys that would have no effect: whoever set them counts on it. */
function rejectKeys(section: ConfigSection, keys: readonly string[], problem: string): void {
  const key = keys.find((name) => section.has(name));
  if (key !== undefined) throw section.error(key, problem);
}

/** Where that is, for people. It holds no secret. */
export function describeSink(config: SinkConfig): string {
  if (config.kind === "postgres") return describePostgres(config);
  return config.kind === "nats" ? `nats://${config.servers.join(",")}/${config.subject.text}` : config.path;
}
