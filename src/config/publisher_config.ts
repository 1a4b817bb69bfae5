/**
 * The publisher's configuration: section `[event-publisher:NAME]` of an INI file, or
 * `[event-publisher.NAME]` of a TOML file.
 *
 * Source of the keys and defaults: baseplate.py `baseplate/sidecars/event_publisher.py` and
 * `baseplate/lib/metrics.py`; those it does not have are marked "ours".
 */
import { ConfigurationError } from "../errors.ts";
import { checkOptions, OBJECT, STRING } from "../options.ts";
import { MAX_DEAD_LETTER_BYTES, MAX_DEAD_LETTERS } from "../storage/dead_letters.ts";
import { DEFAULT_MAX_EVENTS, EVENTS_CEILING } from "../storage/events.ts";
import { checkQueueName } from "../storage/locations.ts";
import { DEFAULT_FILE_MODE } from "../storage/queue_file.ts";
import {
  checkSubscriptionName,
  DEFAULT_SUBSCRIPTION,
  type LagLimit,
  type SubscriptionStart,
} from "../storage/subscriptions.ts";
import { MAX_BATCH_BYTES, MAX_EVENT_BYTES } from "../wire/batch_format.ts";
import { openSection, type ParseOptions, readConfigFile } from "./config_file.ts";
import type { ConfigSection, Env } from "./config_section.ts";
import { checkExposedSecret, parseToken, readSecret, type Secret } from "./credentials.ts";
import { type DestinationConfig, destinationSettings, readDestination } from "./destination_config.ts";
import {
  bytesIn,
  DEFAULT_GRACE_MS,
  durationMsIn,
  formatAddress,
  type HostPort,
  integerIn,
  isLocal,
  type ListenAddress,
  optional,
  parseBoolean,
  parseEndpoint,
  parseFileMode,
  parseListenAddressOrOff,
  parseShare,
  quote,
} from "./parsers.ts";

/**
 * How long an event may wait for others to fill its batch, in milliseconds.
 * Source: baseplate.py `baseplate/sidecars/event_publisher.py`, `MAX_BATCH_AGE`.
 */
export const DEFAULT_BATCH_MAX_AGE_MS = 1_000;

/**
 * How long after a batch the next one waits for more events, in milliseconds, unless it is full: an event that
 * comes alone goes at once, and there are no more than 20 requests a second before batches are full.
 */
export const DEFAULT_BATCH_MIN_INTERVAL_MS = 50;

/**
 * The smallest size one can set for a batch, in bytes: the largest event, its comma and the v2 frame
 * of 27 bytes, so that whatever the queue took fits in a batch.
 */
const MIN_BATCH_BYTES: number = MAX_EVENT_BYTES + 28;

/**
 * How hard batches are compressed, from 1 to 9. Measured with events of 336 bytes: level 1 0.85 us an event and 35 % of
 * the size, level 6 2.8 us and 24 %.
 */
const DEFAULT_GZIP_LEVEL = 1;

/** How many batches a publisher has in flight at once, at most, if the collector takes them. One keeps strict order. */
const DEFAULT_CONCURRENCY = 32;

/** The most batches in flight one can ask for: each holds up to {@link MAX_BATCH_BYTES} in memory. */
const MAX_CONCURRENCY = 256;

/** The most dead letters one can ask to be kept, in rows: the oldest is looked for among all of them. */
const DEAD_LETTERS_CEILING = 1_000_000;

/** The largest size one can allow the dead letters, in bytes: 64 GiB. */
const DEAD_LETTER_BYTES_CEILING = 68_719_476_736;

/** The default share of all events that may become dead letters. */
const DEFAULT_DEAD_LETTER_MAX_SHARE = 0.1;

/** The default size of a publisher's ballast, in bytes: 16 MiB. */
export const DEFAULT_BALLAST_BYTES = 16_777_216;

/** The largest ballast one can ask for, in bytes: 1 GiB. */
const MAX_BALLAST_BYTES = 1_073_741_824;

/** Where metrics go, and under which name. */
export interface MetricsConfig {
  /** `metrics.namespace`: the prefix of every metric's name, in ASCII. Default: nothing. */
  readonly namespace: string;
  /** `metrics.endpoint`: the statsd server. Default: none, metrics are not sent. */
  readonly endpoint: HostPort | undefined;
  /** `metrics.log_if_unconfigured`: whether to log metrics if there is no endpoint. Default: false. */
  readonly logIfUnconfigured: boolean;
  /** `metrics.swallow_network_errors`: has no effect: metrics never disturb publishing. Default: false. */
  readonly swallowNetworkErrors: boolean;
}

/** A publisher's configuration, checked and complete. */
export interface PublisherConfig extends QueueLocation {
  /** Which queue is published: the NAME of the section. */
  readonly queueName: string;
  /** `max_queue_size`: the queue's row cap, 1 or more. Default: `undefined`, the cap in the queue's file stays. */
  readonly maxQueueSize: number | undefined;
  /** `destination` (ours): where events are sent. Default: `collector`. */
  readonly destination: DestinationConfig;
  /** When a batch is sent, and how. */
  readonly batch: {
    /** `batch.max_age` (ours): how long an event may wait for others, in milliseconds. Default: 1 s. */
    readonly maxAgeMs: number;
    /**
     * `batch.min_interval` (ours): how long after a batch the next one waits for more events, in milliseconds, unless
     * it is full or `batch.max_age` has passed. Default: 50 ms, so 20 requests a second at most until batches are full.
     */
    readonly minIntervalMs: number;
    /** `batch.gzip_level` (ours): the gzip level, 1 to 9: 6 makes batches a third smaller for three times the CPU. Default: 1. */
    readonly gzipLevel: number;
    /** `batch.max_events` (ours): the count of events at which a batch is full. Default: none, only its size counts. */
    readonly maxEvents: number | undefined;
    /** `batch.max_bytes` (ours): the size before compression at which a batch is full. Default: 512,000. */
    readonly maxBytes: number;
  };
  /** How many events may become dead letters, and how many are kept. */
  readonly deadLetters: {
    /** `dead_letters.max_count` (ours): how many dead letters are kept; the oldest are dropped for new ones. Default: 10,000. */
    readonly maxCount: number;
    /** `dead_letters.max_bytes` (ours): how large they may grow, in bytes. Default: 64 MiB. */
    readonly maxBytes: number;
    /**
     * `dead_letters.max_share` (ours): how many of all events may become dead letters in the long run, above 0
     * and up to 1, written as a percentage; beyond it the queue is held. 100%: never held. Default: 10%.
     */
    readonly maxShare: number;
  };
  /** Which subscription of the queue is published. */
  readonly subscription: {
    /** `publisher.subscription` (ours): the name of the subscription to publish. Default: `default`, which each queue has. */
    readonly name: string;
    /**
     * `subscription.start` (ours): adds the subscription if it does not exist, beginning with this event: `now` for the
     * next one that is put, `oldest` for the oldest one in the file, an id, or a time such as `2026-05-01T12:00:00Z`.
     * Default: `undefined`, the subscription must exist.
     */
    readonly start: SubscriptionStart | undefined;
    /**
     * `subscription.lag_limit` (ours): how far the subscription may lag, as a number of events or as a duration, before
     * it skips events; `off`: it never skips events, and puts are rejected instead. Default: `undefined`, what the
     * queue's file says, and `off` for a new subscription.
     */
    readonly lagLimit: LagLimit | undefined;
  };
  /** How long delivered events stay. `undefined`: as the queue's file says; they do not stay in a new one. */
  readonly retention:
    | {
        /**
         * `queue.retention` (ours): how long events stay in the file after they were put, even when all subscriptions
         * have them, in milliseconds; `off`: they do not. Default: what the queue's file says, if `queue.retention_bytes` is not set,
         * and `off` in a new one.
         */
        readonly maxAgeMs: number | undefined;
        /**
         * `queue.retention_bytes` (ours): how many bytes of such events stay, the newest ones; `off`: no limit in
         * addition to `queue.retention`. Default: what the queue's file says, if `queue.retention` is not set, and `off` in a
         * new one.
         */
        readonly maxBytes: number | undefined;
      }
    | undefined;
  /** `publisher.concurrency` (ours): the most batches in flight, 1 to 256. Default: 32. */
  readonly concurrency: number;
  /**
   * `publisher.drop_fields` (ours): fields that are dropped from events before they are sent, separated by commas:
   * `user.email, ip`, or field ids for Thrift events: `1.2`. A path also works through lists. Default: none.
   */
  readonly dropFields: readonly string[];
  /** `publisher.grace` (ours): how long a stop waits for batches in flight, in milliseconds. Default: 10 s. */
  readonly graceMs: number;
  /** The admin routes. */
  readonly admin: {
    /** `admin.listen` (ours): where the admin routes are served, or `off`. Default: 127.0.0.1:9900. */
    readonly listen: ListenAddress | undefined;
    /**
     * `admin.token` (ours), or what the file `admin.token_file` holds: the token that requests to the admin routes must carry.
     * Default: none, which is rejected where `admin.listen` is not on loopback.
     */
    readonly token: Secret | undefined;
  };
  /** Where metrics are sent. */
  readonly metrics: MetricsConfig;
  /** Settings that are allowed but probably not intended, one sentence each: unknown keys, plain http, unset variables. */
  readonly warnings: readonly string[];
}

/** Which queue's configuration is read, and with which environment. */
export interface PublisherConfigOptions {
  /** The NAME of the section. Default: `main`. */
  readonly queueName?: string;
  /** Where `$NAME` and `${NAME}` come from. Default: the environment of this process. */
  readonly env?: Env;
}

const DEFAULT_QUEUE_NAME = "main";
const DEFAULT_ADMIN_LISTEN: ListenAddress = { host: "127.0.0.1", port: 9_900 };

/**
 * Reads a publisher's configuration from a file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} naming file, section, key and line where they are known. It never
 * shows a secret.
 */
export function loadPublisherConfig(path: string, options: PublisherConfigOptions = {}): PublisherConfig {
  const checked = checkOptions(options, { queueName: STRING, env: OBJECT });
  const { text, ...read } = readConfigFile(path);
  return parsePublisherConfig(text, { ...checked, ...read });
}

/**
 * Reads a publisher's configuration from text.
 *
 * @throws {ConfigurationError} as {@link loadPublisherConfig} does.
 */
export function parsePublisherConfig(
  text: string,
  options: PublisherConfigOptions & ParseOptions = {},
): PublisherConfig {
  const queueName = checkQueueName(options.queueName ?? DEFAULT_QUEUE_NAME);
  const section = openSection(text, ["event-publisher", queueName], options);
  const destination = readDestination(section);
  const count = integerIn({ min: 1, max: MAX_CONCURRENCY });
  return {
    queueName,
    ...readQueueLocation(section),
    maxQueueSize: section.readOptional("max_queue_size", integerIn({ min: 1, max: EVENTS_CEILING })),
    destination,
    dropFields: readDropFields(section, destination),
    batch: readBatch(section),
    deadLetters: readDeadLetters(section),
    subscription: readSubscription(section),
    retention: readRetention(section),
    concurrency: section.readOptional("publisher.concurrency", count, DEFAULT_CONCURRENCY),
    graceMs: section.readOptional("publisher.grace", durationMsIn({ min: 0 }), DEFAULT_GRACE_MS),
    admin: readAdmin(section),
    metrics: readMetrics(section),
    warnings: section.finish(),
  };
}

function readBatch(section: ConfigSection): PublisherConfig["batch"] {
  const age = durationMsIn({ min: 0 });
  const size = bytesIn({ min: MIN_BATCH_BYTES, max: MAX_BATCH_BYTES });
  return {
    maxAgeMs: section.readOptional("batch.max_age", age, DEFAULT_BATCH_MAX_AGE_MS),
    minIntervalMs: section.readOptional("batch.min_interval", age, DEFAULT_BATCH_MIN_INTERVAL_MS),
    gzipLevel: section.readOptional("batch.gzip_level", integerIn({ min: 1, max: 9 }), DEFAULT_GZIP_LEVEL),
    maxEvents: section.readOptional("batch.max_events", integerIn({ min: 1, max: MAX_BATCH_BYTES })),
    maxBytes: section.readOptional("batch.max_bytes", size, MAX_BATCH_BYTES),
  };
}

/** Thrift events have no names: a name would match nothing, and what it was to hide would leave. */
function readDropFields(section: ConfigSection, destination: DestinationConfig): readonly string[] {
  const fields = section.readOptional("publisher.drop_fields", parseFields, []);
  const named = fields.find((field) => !/^\d+(?:\.\d+)*$/.test(field));
  if (named !== undefined && destination.kind === "collector" && destination.version === "2")
    throw section.error(
      "publisher.drop_fields",
      `has the name ${quote(named)}, and Thrift events (collector.version = 2) have field ids: write 1.2 or the like`,
    );
  return fields;
}

function parseFields(text: string): readonly string[] {
  return text.split(",").map((part) => {
    const field = part.trim();
    if (/^[^\s.]+(?:\.[^\s.]+)*$/.test(field)) return field;
    throw new ConfigurationError(`expected fields such as user.email, ip, got ${quote(text)}`);
  });
}

function readDeadLetters(section: ConfigSection): PublisherConfig["deadLetters"] {
  const count = integerIn({ min: 1, max: DEAD_LETTERS_CEILING });
  const size = bytesIn({ min: MIN_BATCH_BYTES, max: DEAD_LETTER_BYTES_CEILING });
  return {
    maxCount: section.readOptional("dead_letters.max_count", count, MAX_DEAD_LETTERS),
    maxBytes: section.readOptional("dead_letters.max_bytes", size, MAX_DEAD_LETTER_BYTES),
    maxShare: section.readOptional("dead_letters.max_share", parseShare, DEFAULT_DEAD_LETTER_MAX_SHARE),
  };
}

function readSubscription(section: ConfigSection): PublisherConfig["subscription"] {
  return {
    name: section.readOptional("publisher.subscription", checkSubscriptionName, DEFAULT_SUBSCRIPTION),
    start: section.readOptional("subscription.start", parseSubscriptionStart),
    lagLimit: section.readOptional("subscription.lag_limit", parseLagLimit),
  };
}

/** The largest size one can retain, in bytes: 16 TiB. */
const MAX_RETENTION_BYTES = 17_592_186_044_416;

/** The longest time one can retain events, in milliseconds: ten years. */
const MAX_RETENTION_MS = 315_360_000_000;

/** One key without the other leaves no other limit. */
function readRetention(section: ConfigSection): PublisherConfig["retention"] {
  const age = durationMsIn({ min: 1, max: MAX_RETENTION_MS });
  const size = bytesIn({ min: 1, max: MAX_RETENTION_BYTES });
  const isGiven = section.has("queue.retention") || section.has("queue.retention_bytes");
  const maxAgeMs = section.readOptional("queue.retention", unlessOff(age));
  const maxBytes = section.readOptional("queue.retention_bytes", unlessOff(size));
  return isGiven ? { maxAgeMs, maxBytes } : undefined;
}

function unlessOff<T>(parse: (text: string) => T): (text: string) => T | undefined {
  return (text) => (text === "off" ? undefined : parse(text));
}

/** `now`, `oldest`, an id or a time. @throws {ConfigurationError} */
export function parseSubscriptionStart(text: string): SubscriptionStart {
  if (text === "now" || text === "oldest") return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const time = new Date(text);
  if (/^\d{4}-/.test(text) && !Number.isNaN(time.getTime())) return time;
  throw new ConfigurationError(
    `expected now, oldest, an id or a time such as 2026-05-01T12:00:00Z, got ${quote(text)}`,
  );
}

/** A number of events, a duration, or `off`. @throws {ConfigurationError} */
export function parseLagLimit(text: string): LagLimit {
  if (text === "off") return {};
  if (/^\d[\d_]*$/.test(text)) return { maxEvents: integerIn({ min: 1, max: EVENTS_CEILING })(text) };
  return { maxAgeMs: durationMsIn({ min: 1_000, max: MAX_RETENTION_MS })(text) };
}

function readAdmin(section: ConfigSection): PublisherConfig["admin"] {
  const addressOrOff = (text: string) => parseListenAddressOrOff(text, section.parsePath);
  const listen = section.readOptional("admin.listen", addressOrOff, DEFAULT_ADMIN_LISTEN);
  const token = readSecret(section, "admin.token", optional(parseToken, undefined));
  if (listen !== undefined && token === undefined && !isLocal(listen)) {
    const problem = `${formatAddress(listen)} is reachable from other machines: set admin.token or admin.token_file, or listen on 127.0.0.1`;
    throw section.error("admin.listen", problem);
  }
  if (listen !== undefined && token !== undefined && !isLocal(listen))
    checkExposedSecret(section, "admin.token", token);
  return { listen, token };
}

function readMetrics(section: ConfigSection): MetricsConfig {
  return {
    namespace: section.read("metrics.namespace", parseNamespace, { keepUnset: true }),
    endpoint: section.readOptional("metrics.endpoint", parseEndpoint),
    logIfUnconfigured: section.readOptional("metrics.log_if_unconfigured", parseBoolean, false),
    swallowNetworkErrors: section.readOptional("metrics.swallow_network_errors", parseBoolean, false),
  };
}

function parseNamespace(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text;
  throw new ConfigurationError(`expected printable ASCII, got ${quote(text)}`);
}

/** Where a publisher's queue is, and what the publisher does there. */
export interface QueueLocation {
  /**
   * `queue.directory` (ours): the directory of the queue's file, as an absolute path. In a configuration file, a relative
   * path is relative to that file. Default: `undefined`, `$EVENTSPOOL_DIR` and others: see `EventQueue`.
   */
  readonly directory: string | undefined;
  /**
   * `queue.file` (ours): a service's database whose outbox is published, as an absolute path. In a configuration file, a
   * relative path is relative to that file. Default: `undefined`, the queue has its own file in the directory.
   */
  readonly file: string | undefined;
  /** `queue.file_mode` (ours): the mode of a queue file that the publisher creates. Default: 0600. */
  readonly fileMode: number;
  /** `queue.allow_network_file_system` (ours): whether the queue's file may be on NFS, SMB, FUSE, 9p, Ceph, ... Default: false. */
  readonly allowNetworkFileSystem: boolean;
  /**
   * `queue.ballast` (ours): how much space is reserved for a full disk, in a file beside the queue's, in bytes;
   * 0 if `off`. It takes at most an eighth of the free space. Default: 16 MiB, and none beside a service's database.
   */
  readonly ballastBytes: number;
}

/** Reads it from a publisher's section. @throws {ConfigurationError} */
function readQueueLocation(section: ConfigSection): QueueLocation {
  const directory = section.readOptional("queue.directory", section.parsePath);
  const file = section.readOptional("queue.file", section.parsePath);
  const ballastBytes = file === undefined ? DEFAULT_BALLAST_BYTES : 0;
  if (file !== undefined && directory !== undefined)
    throw section.error("queue.file", "and queue.directory are both set: keep one of them");
  if (file !== undefined && section.has("queue.file_mode"))
    section.warn("queue.file_mode", "has no effect beside queue.file: that file is the service's");
  return {
    directory,
    file,
    ballastBytes: section.readOptional("queue.ballast", parseSizeOrOff, ballastBytes),
    fileMode: section.readOptional("queue.file_mode", parseFileMode, DEFAULT_FILE_MODE),
    allowNetworkFileSystem: section.readOptional("queue.allow_network_file_system", parseBoolean, false),
  };
}

function parseSizeOrOff(text: string): number {
  return text === "off" ? 0 : bytesIn({ min: 0, max: MAX_BALLAST_BYTES })(text);
}

/** A publisher's configuration for `--check`: without the secret, units last, `null` for absent values. */
export function describePublisherConfig(config: PublisherConfig): Record<string, unknown> {
  const { destination, batch, deadLetters, admin, metrics } = config;
  return {
    queue: config.queueName,
    directory: config.directory ?? null,
    queue_ballast_bytes: config.ballastBytes,
    queue_file_mode: config.fileMode.toString(8).padStart(4, "0"),
    queue_allow_network_file_system: config.allowNetworkFileSystem,
    max_queue_size: config.maxQueueSize ?? DEFAULT_MAX_EVENTS,
    destination: destination.kind,
    ...destinationSettings(destination),
    batch_max_age_ms: batch.maxAgeMs,
    batch_min_interval_ms: batch.minIntervalMs,
    batch_gzip_level: batch.gzipLevel,
    batch_max_events: batch.maxEvents ?? null,
    batch_max_bytes: batch.maxBytes,
    queue_retention_ms: config.retention?.maxAgeMs ?? null,
    queue_retention_bytes: config.retention?.maxBytes ?? null,
    publisher_subscription: config.subscription.name,
    dead_letters_max_count: deadLetters.maxCount,
    dead_letters_max_bytes: deadLetters.maxBytes,
    dead_letters_max_share: deadLetters.maxShare,
    publisher_concurrency: config.concurrency,
    publisher_drop_fields: config.dropFields,
    publisher_grace_ms: config.graceMs,
    admin_token: admin.token !== undefined,
    admin_listen: admin.listen === undefined ? "off" : formatAddress(admin.listen),
    metrics: {
      namespace: metrics.namespace,
      endpoint: metrics.endpoint === undefined ? null : formatAddress(metrics.endpoint),
      log_if_unconfigured: metrics.logIfUnconfigured,
      swallow_network_errors: metrics.swallowNetworkErrors,
    },
    warnings: config.warnings,
  };
}
