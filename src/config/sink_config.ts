/** Where a collector stores events: the keys `sink`, `output` and `output.*` of `[event-collector]`. */
import { DEFAULT_FSYNC_INTERVAL_MS, DEFAULT_OUTPUT_MODE } from "./collector_defaults.ts";
import type { ConfigSection } from "./config_section.ts";
import { type NatsSinkConfig, natsSettings, readNatsSink } from "./nats_config.ts";
import { bytesIn, durationMsIn, oneOf, parseFileMode } from "./parsers.ts";
import { describePostgres, type PostgresConfig, postgresSettings, readPostgres } from "./postgres_config.ts";

/** The smallest `output.rotate_size`, in bytes: a few batches. */
const MIN_ROTATE_BYTES = 1_048_576;

/** The largest `output.rotate_size`, in bytes: 1 TiB. */
const MAX_ROTATE_BYTES = 1_099_511_627_776;

/** The shortest `output.rotate_age`, in milliseconds: 86,400 files a day. */
const MIN_ROTATE_AGE_MS = 1_000;

/** When stored events are synced to the disk. With every policy they survive the death of the process. */
export interface SyncConfig {
  /**
   * `output.fsync`: `always`, before the response; `interval`, within `output.fsync_interval`; `never`, when the
   * operating system decides. Default: `always`, since the publisher deletes events after the response.
   */
  readonly fsync: "always" | "interval" | "never";
  /** `output.fsync_interval`: the time between syncs with `output.fsync = interval`, in milliseconds. Default: 100 ms. */
  readonly fsyncIntervalMs: number;
}

/** How events are stored in files. */
export interface OutputConfig extends SyncConfig {
  /** `output.mode`: the file mode of new files, in octal; an existing file keeps its mode. Default: 0600. */
  readonly fileMode: number;
}

/** `sink = file`: JSON texts, one per line. */
export interface FileSinkConfig extends OutputConfig {
  /** Always `file`. */
  readonly kind: "file";
  /** `output`: the absolute path of the file. A relative path is relative to the directory of the configuration file. Default: `events.jsonl`. */
  readonly path: string;
  /** `output.rotate_size`: rotate a file before it grows beyond this size, in bytes, 1 MiB to 1 TiB. Default: never. */
  readonly rotateSizeBytes: number | undefined;
  /** `output.rotate_age`: rotate a file that holds events for this long, in milliseconds, 1 s to 24 h. Default: never. */
  readonly rotateAgeMs: number | undefined;
}

/** `sink = sqlite`: a table of a SQLite database. */
export interface SqliteSinkConfig extends OutputConfig {
  /** Always `sqlite`. */
  readonly kind: "sqlite";
  /** `output`: the absolute path of the database, as for `sink = file`. Default: `events.db`. */
  readonly path: string;
}

/** Where a collector stores events: `sink`. Default: `file`. */
export type SinkConfig = FileSinkConfig | SqliteSinkConfig | NatsSinkConfig | PostgresConfig;

/** How the keys of a sink are read, and what `--check` prints of them. */
interface SinkKind<Config> {
  read(section: ConfigSection): Config;
  settings(config: Config): Record<string, unknown>;
}

/** By the value of `sink`. */
const SINKS: {
  readonly [Kind in SinkConfig["kind"]]: SinkKind<Extract<SinkConfig, { readonly kind: Kind }>>;
} = {
  file: { read: readFileSink, settings: fileSettings },
  sqlite: { read: readSqliteSink, settings: outputSettings },
  nats: { read: readNats, settings: natsSettings },
  postgres: { read: readPostgresSink, settings: postgresSettings },
};

const KINDS = Object.keys(SINKS) as SinkConfig["kind"][];

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

/** Reads the sink from the collector's section. @throws {ConfigurationError} */
export function readSink(section: ConfigSection): SinkConfig {
  const kind = section.readOptional("sink", oneOf(...KINDS), "file" as const);
  return SINKS[kind].read(section);
}

/** What `--check` prints of it. */
export function sinkSettings(config: SinkConfig): Record<string, unknown> {
  return (SINKS[config.kind] as SinkKind<SinkConfig>).settings(config);
}

function fileSettings(config: FileSinkConfig): Record<string, unknown> {
  return {
    ...outputSettings(config),
    output_rotate_size_bytes: config.rotateSizeBytes ?? null,
    output_rotate_age_ms: config.rotateAgeMs ?? null,
  };
}

function outputSettings({
  path,
  fsync,
  fsyncIntervalMs,
}: FileSinkConfig | SqliteSinkConfig): Record<string, unknown> {
  return { output: path, output_fsync: fsync, output_fsync_interval_ms: fsyncIntervalMs };
}

function readFileSink(section: ConfigSection): FileSinkConfig {
  const size = bytesIn({ min: MIN_ROTATE_BYTES, max: MAX_ROTATE_BYTES });
  return {
    kind: "file",
    path: section.read("output", (text) => section.parsePath(text || "events.jsonl")),
    ...readOutput(section),
    rotateSizeBytes: section.readOptional("output.rotate_size", size),
    rotateAgeMs: section.readOptional("output.rotate_age", durationMsIn({ min: MIN_ROTATE_AGE_MS })),
  };
}

function readSqliteSink(section: ConfigSection): SqliteSinkConfig {
  rejectKeys(section, FILE_KEYS, "needs sink = file, got sqlite: remove it");
  return {
    kind: "sqlite",
    path: section.read("output", (text) => section.parsePath(text || "events.db")),
    ...readOutput(section),
  };
}

function readNats(section: ConfigSection): NatsSinkConfig {
  rejectKeys(section, OUTPUT_KEYS, "needs sink = file or sqlite, got nats: remove it");
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
  const fileMode = section.readOptional("output.mode", parseFileMode, DEFAULT_OUTPUT_MODE);
  return { ...readSync(section), fileMode };
}

function readSync(section: ConfigSection): SyncConfig {
  const fsync = section.readOptional("output.fsync", oneOf(...POLICIES), "always" as const);
  const problem = `needs output.fsync = interval, got ${fsync}: change one of them`;
  if (fsync !== "interval") rejectKeys(section, ["output.fsync_interval"], problem);
  const interval = durationMsIn({ min: 1 });
  const fsyncIntervalMs = section.readOptional("output.fsync_interval", interval, DEFAULT_FSYNC_INTERVAL_MS);
  return { fsync, fsyncIntervalMs };
}

/** Rejects keys that would have no effect. */
function rejectKeys(section: ConfigSection, keys: readonly string[], problem: string): void {
  const key = keys.find((name) => section.has(name));
  if (key !== undefined) throw section.error(key, problem);
}

/** Where a sink stores, for people. It holds no secret. */
export function describeSink(config: SinkConfig): string {
  if (config.kind === "postgres") return describePostgres(config);
  return config.kind === "nats" ? `nats://${config.servers.join(",")}/${config.subject.text}` : config.path;
}
