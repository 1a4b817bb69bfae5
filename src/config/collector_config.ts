/**
 * The configuration of eventspool's collector: section `[event-collector]` of an INI or TOML file, which may be the
 * publisher's file too.
 */
import { checkOptions, OBJECT } from "../options.ts";
import { REQUEST_TIMEOUT_MS } from "../server/connections.ts";
import { MAX_BATCH_BYTES } from "../wire/batch_format.ts";
import {
  DEFAULT_MAX_PENDING_BYTES,
  DEFAULT_MAX_REQUEST_EVENTS,
  DEFAULT_MAX_REQUESTS,
} from "./collector_defaults.ts";
import { openSection, type ParseOptions, readConfigFile } from "./config_file.ts";
import type { ConfigSection, Env } from "./config_section.ts";
import {
  checkExposedSecret,
  parseSecret,
  parseToken,
  readSecret,
  readTlsFiles,
  type Secret,
} from "./credentials.ts";
import {
  bytesIn,
  DEFAULT_GRACE_MS,
  durationMsIn,
  formatAddress,
  integerIn,
  isLocal,
  type ListenAddress,
  optional,
  parseBoolean,
  parseListenAddress,
  parseListenAddressOrOff,
  parseText,
} from "./parsers.ts";
import { readSink, type SinkConfig, sinkSettings } from "./sink_config.ts";

/** The largest `max_body_size`, in bytes: a body is held in memory whole. */
const BODY_BYTES_CEILING = 1_073_741_824;

/** The largest `max_pending_size`, in bytes: 64 GiB. */
const PENDING_BYTES_CEILING = 68_719_476_736;

/** The largest `max_requests` and `max_connections`. */
const REQUESTS_CEILING = 65_536;

/** A key of publishers. */
export interface CollectorKeyConfig {
  /** The secret that batches are signed with. */
  readonly secret: Secret;
  /**
   * `key.NAME_source`: the name within which the ids of events are unique. Keys that replace each other share one, so
   * that an event that was stored under the old key and is sent again under the new one is recognized. Default: NAME.
   */
  readonly source: string;
  /**
   * `key.NAME_require_ids`: whether to reject requests without valid `Event-Ids`. Otherwise their events are stored, and
   * may be stored twice. Default: false.
   */
  readonly requireIds: boolean;
}

/** A collector's configuration, checked and complete. */
export interface CollectorConfig {
  /** `listen`: where batches are received. Default: 127.0.0.1:9800. */
  readonly listen: ListenAddress;
  /**
   * `key.NAME = BASE64`, or `key.NAME_file` with the path of a file that holds it, one or more: the secrets by the
   * name of the key. With several, a key can be replaced while publishers still use the old one. NAME is
   * case-sensitive, and cannot end in `_file`, `_source` or `_require_ids`. In an INI file, two names cannot differ only
   * by case, and NAME cannot contain `=` or `:`.
   */
  readonly keys: ReadonlyMap<string, CollectorKeyConfig>;
  /** `sink`, `output`, `output.*`: where events are stored. Default: the file `events.jsonl`. */
  readonly sink: SinkConfig;
  /** `max_body_size`: the largest body after decompression, in bytes. Default: 512,000. */
  readonly maxBodyBytes: number;
  /** `max_events_per_request`: the most events per request. Default: 100,000. */
  readonly maxEvents: number;
  /** `max_pending_size`: the most bytes of decompressed bodies that are being stored. Default: 64 MiB. */
  readonly maxPendingBytes: number;
  /** `max_requests`: the most requests that are stored at once. Default: 256. */
  readonly maxRequests: number;
  /** `request_timeout`: the time for a whole request to arrive, in milliseconds. Default: 30 s. */
  readonly requestTimeoutMs: number;
  /**
   * `max_connections`: the most open connections. A new one beyond the limit replaces the one that has waited longest.
   * Default: 2,048.
   */
  readonly maxConnections: number;
  /**
   * `tls_cert_file`, `tls_key_file`, `tls_ca_file`: PEM files with a certificate and its key, for HTTPS, and with the
   * authority whose certificates clients must have. Default: HTTP.
   */
  readonly tls: ListenerTls | undefined;
  /** `grace`: how long requests may still run when it stops, in milliseconds. Default: 10 s. */
  readonly graceMs: number;
  /** `v1`: whether to serve `POST /v1`. Default: false. */
  readonly v1: boolean;
  /**
   * `check_structs`: whether the events of `POST /v2` must be Thrift structs, and those of `POST /v2j` must not be. If
   * false, `/v2` takes any object, and `/v2j` any JSON. Default: true.
   */
  readonly checkStructs: boolean;
  /** The admin routes. */
  readonly admin: {
    /**
     * `admin.listen`: where /health and /metrics are served, or `off`. Default, `beside`: where batches are
     * received, if only this machine can connect or `admin.token` is set.
     */
    readonly listen: ListenAddress | "beside" | undefined;
    /** `admin.token` or `admin.token_file`: the token that requests to `/health` and `/metrics` need. Default: none. */
    readonly token: Secret | undefined;
  };
  /** Settings that are allowed but probably not intended, one sentence each. */
  readonly warnings: readonly string[];
}

/** Paths of PEM files. */
export interface ListenerTls {
  /** The listener's certificate. */
  readonly certFile: string;
  /** The certificate's key. */
  readonly keyFile: string;
  /** Undefined: clients need no certificate. */
  readonly caFile: string | undefined;
}

/** The default of `max_connections`: one for each host of a fleet without a balancer. */
const DEFAULT_MAX_CONNECTIONS = 2_048;

const SECTION = "event-collector";
const KEY_PREFIX = "key.";
/** The suffixes of a key's settings. */
const KEY_SUFFIX = /_(?:file|source|require_ids)$/i;
const DEFAULT_LISTEN: ListenAddress = { host: "127.0.0.1", port: 9_800 };

/**
 * Reads a collector's configuration from a file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} naming file, section, key and line where they are known. It never
 * shows a secret.
 */
export function loadCollectorConfig(path: string, options: { readonly env?: Env } = {}): CollectorConfig {
  const checked = checkOptions(options, { env: OBJECT });
  const { text, ...read } = readConfigFile(path);
  return parseCollectorConfig(text, { ...checked, ...read });
}

/**
 * Reads a collector's configuration from text.
 *
 * @throws {ConfigurationError} as {@link loadCollectorConfig} does.
 */
export function parseCollectorConfig(text: string, options: ParseOptions = {}): CollectorConfig {
  const section = openSection(text, [SECTION], options);
  const address = (text: string) => parseListenAddress(text, section.parsePath);
  const listen = section.readOptional("listen", address, DEFAULT_LISTEN);
  const size = bytesIn({ min: 1, max: BODY_BYTES_CEILING });
  const count = integerIn({ min: 1, max: BODY_BYTES_CEILING });
  return {
    listen,
    keys: readKeys(section, isLocal(listen)),
    sink: readSink(section),
    maxBodyBytes: section.readOptional("max_body_size", size, MAX_BATCH_BYTES),
    maxEvents: section.readOptional("max_events_per_request", count, DEFAULT_MAX_REQUEST_EVENTS),
    ...readLoad(section),
    tls: readListenerTls(section),
    v1: section.readOptional("v1", parseBoolean, false),
    checkStructs: section.readOptional("check_structs", parseBoolean, true),
    admin: readAdmin(section, listen),
    warnings: section.finish(),
  };
}

function readAdmin(section: ConfigSection, beside: ListenAddress): CollectorConfig["admin"] {
  const addressOrOff = (text: string) => parseListenAddressOrOff(text, section.parsePath);
  const listen = section.readOptional("admin.listen", addressOrOff, "beside" as const);
  const token = readSecret(section, "admin.token", optional(parseToken, undefined));
  const address = listen === "beside" ? beside : listen;
  if (token !== undefined && address !== undefined && !isLocal(address))
    checkExposedSecret(section, "admin.token", token);
  return { listen, token };
}

type Load = Pick<
  CollectorConfig,
  "maxPendingBytes" | "maxRequests" | "maxConnections" | "requestTimeoutMs" | "graceMs"
>;

/** Reads the limits of the load. */
function readLoad(section: ConfigSection): Load {
  const size = bytesIn({ min: 1, max: PENDING_BYTES_CEILING });
  const count = integerIn({ min: 1, max: REQUESTS_CEILING });
  const duration = durationMsIn({ min: 1 });
  return {
    maxPendingBytes: section.readOptional("max_pending_size", size, DEFAULT_MAX_PENDING_BYTES),
    maxRequests: section.readOptional("max_requests", count, DEFAULT_MAX_REQUESTS),
    maxConnections: section.readOptional("max_connections", count, DEFAULT_MAX_CONNECTIONS),
    requestTimeoutMs: section.readOptional("request_timeout", duration, REQUEST_TIMEOUT_MS),
    graceMs: section.readOptional("grace", duration, DEFAULT_GRACE_MS),
  };
}

function readListenerTls(section: ConfigSection): ListenerTls | undefined {
  const files = readTlsFiles(section, "");
  if (files === undefined) return undefined;
  const { caFile, certFile, keyFile } = files;
  if (certFile === undefined || keyFile === undefined)
    throw section.error("tls_ca_file", "needs tls_cert_file and tls_key_file");
  return { certFile, keyFile, caFile };
}

function readKeys(section: ConfigSection, isListeningLocally: boolean): Map<string, CollectorKeyConfig> {
  const keys = new Map<string, CollectorKeyConfig>();
  for (const [written, found] of section.keysUnder(KEY_PREFIX)) {
    const name = written.replace(KEY_SUFFIX, "");
    const key = found.replace(KEY_SUFFIX, "");
    if (name === "") throw section.error(found, "expected key.NAME = BASE64: the name is missing");
    const secret = readSecret(section, key, parseSecret);
    if (!isListeningLocally) checkExposedSecret(section, key, secret);
    keys.set(name, {
      secret,
      source: section.readOptional(`${key}_source`, parseText, name),
      requireIds: section.readOptional(`${key}_require_ids`, parseBoolean, false),
    });
  }
  if (keys.size === 0) throw section.error("key.NAME", "expected one or more keys: key.NAME = BASE64");
  return keys;
}

/** A collector's configuration for `--check`: without secrets, units last, `null` for absent values. */
export function describeCollectorConfig(config: CollectorConfig): Record<string, unknown> {
  const { admin } = config;
  return {
    listen: formatAddress(config.listen),
    keys: [...config.keys.keys()],
    sink: config.sink.kind,
    ...sinkSettings(config.sink),
    max_body_size_bytes: config.maxBodyBytes,
    max_events_per_request: config.maxEvents,
    max_pending_size_bytes: config.maxPendingBytes,
    max_requests: config.maxRequests,
    request_timeout_ms: config.requestTimeoutMs,
    grace_ms: config.graceMs,
    v1: config.v1,
    check_structs: config.checkStructs,
    admin_token: admin.token !== undefined,
    admin_listen: typeof admin.listen === "object" ? formatAddress(admin.listen) : (admin.listen ?? "off"),
    warnings: config.warnings,
  };
}
