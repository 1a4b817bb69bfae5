/** Where a publisher takes its events: the key `destination`, and those of the destination that it names. */
import { ConfigurationError } from "../errors.ts";
import type { BatchVersion } from "../storage/events.ts";
import type { ConfigSection } from "./config_section.ts";
import { checkExposedSecret, parseSecret, readSecret, type Secret } from "./credentials.ts";
import {
  type HttpDestinationConfig,
  type HttpTransportConfig,
  httpSettings,
  isLoopback,
  readHttpDestination,
  readHttpTransport,
  transportSettings,
} from "./http_config.ts";
import { type NatsDestinationConfig, natsSettings, readNatsDestination } from "./nats_config.ts";
import { oneOf, parseText, quote } from "./parsers.ts";
import { type PostgresConfig, postgresSettings, readPostgres } from "./postgres_config.ts";

/** `destination = collector`: an HTTP collector. */
export interface CollectorDestinationConfig extends HttpTransportConfig {
  /** Always `collector`. */
  readonly kind: "collector";
  /**
   * Where batches are sent, made of:
   *
   * - `collector.scheme`: `https` or `http`. Default: `https`.
   * - `collector.hostname`: `host[:port][/path]`. Required.
   */
  readonly url: string;
  /** `collector.version`: the format of a batch, `2` for Thrift structs in JSON or `2j` for plain JSON. Default: `2`. */
  readonly version: BatchVersion;
  /** The key that batches are signed with. */
  readonly key: {
    /** `key.name`: the name by which the collector finds the key. */
    readonly name: string;
    /** `key.secret`, or what the file `key.secret_file` (ours) holds: the key that signs batches. */
    readonly secret: Secret;
  };
}

/** `destination = file`: a file of JSON lines, for development. */
export interface FileDestinationConfig {
  /** Always `file`. */
  readonly kind: "file";
  /**
   * `file.path` (ours): the file, as an absolute path. In a configuration file, a relative path is relative to that file.
   * Default: `events.jsonl`.
   */
  readonly path: string;
}

/** Where a publisher takes its events. */
export type DestinationConfig =
  | CollectorDestinationConfig
  | HttpDestinationConfig
  | NatsDestinationConfig
  | PostgresConfig
  | FileDestinationConfig;

/** How the keys of a destination are read, what they begin with, and what `--check` prints of them. */
interface DestinationKind<Config> {
  read(section: ConfigSection): Config;
  readonly prefixes: readonly string[];
  settings(config: Config): Record<string, unknown>;
}

/** By the value of `destination`. How each is opened is in src/publisher/destinations/open_destination.ts. */
const DESTINATIONS: {
  readonly [Kind in DestinationConfig["kind"]]: DestinationKind<
    Extract<DestinationConfig, { readonly kind: Kind }>
  >;
} = {
  collector: { read: readCollector, prefixes: ["collector.", "key."], settings: collectorSettings },
  http: { read: readHttpDestination, prefixes: ["http."], settings: httpSettings },
  nats: { read: readNatsDestination, prefixes: ["nats."], settings: natsDestinationSettings },
  postgres: { read: readPostgres, prefixes: ["postgres."], settings: postgresSettings },
  file: { read: readFile, prefixes: ["file."], settings: ({ path }) => ({ file_path: path }) },
};

/** Reads it from a publisher's section. `destination` (ours) is `collector` by default. @throws {ConfigurationError} */
export function readDestination(section: ConfigSection): DestinationConfig {
  const kinds = Object.keys(DESTINATIONS) as DestinationConfig["kind"][];
  const kind = section.readOptional("destination", oneOf(...kinds), "collector" as const);
  const config = DESTINATIONS[kind].read(section);
  for (const other of kinds.filter((name) => name !== kind)) {
    for (const prefix of DESTINATIONS[other].prefixes)
      section.ignore(prefix, `has no effect: destination is ${kind}`);
  }
  return config;
}

/** What `--check` prints of it. */
export function destinationSettings(config: DestinationConfig): Record<string, unknown> {
  return (DESTINATIONS[config.kind] as DestinationKind<DestinationConfig>).settings(config);
}

function collectorSettings(config: CollectorDestinationConfig): Record<string, unknown> {
  return { url: config.url, ...transportSettings("collector", config), key_name: config.key.name };
}

function natsDestinationSettings(config: NatsDestinationConfig): Record<string, unknown> {
  return { ...natsSettings(config), nats_messages: config.messages };
}

function readFile(section: ConfigSection): FileDestinationConfig {
  return { kind: "file", path: section.read("file.path", (text) => section.parsePath(text || DEFAULT_PATH)) };
}

const DEFAULT_PATH = "events.jsonl";
const DEFAULT_VERSION: BatchVersion = "2";

function readCollector(section: ConfigSection): CollectorDestinationConfig {
  const scheme = section.readOptional("collector.scheme", parseScheme, "https" as const);
  const hostname = section.read("collector.hostname", parseCollectorHostname);
  const version = section.readOptional("collector.version", oneOf("2", "2j"), DEFAULT_VERSION);
  const url = collectorUrl({ scheme, hostname, version });
  const key = {
    name: section.read("key.name", parseKeyName, { keepUnset: true }),
    secret: readSecret(section, "key.secret", parseKeySecret),
  };
  if (!isLoopback(url)) checkExposedSecret(section, "key.secret", key.secret);
  return { kind: "collector", url, version, ...readHttpTransport(section, "collector.", url), key };
}

function parseKeySecret(text: string): Secret {
  if (text === "")
    throw new ConfigurationError(
      "no key specified: expected Base64 of at least one byte, or key.secret_file",
    );
  return parseSecret(text);
}

function parseScheme(text: string): "http" | "https" {
  const scheme = text.toLowerCase();
  if (scheme === "http" || scheme === "https") return scheme;
  throw new ConfigurationError(`expected https or http, got ${quote(text)}`);
}

/** The name is sent in the header `X-Signature`, which is one line of Latin-1. */
function parseKeyName(text: string): string {
  if (/^[\t\x20-\x7e\xa0-\xff]*$/.test(text)) return parseText(text);
  throw new ConfigurationError("is not valid in an HTTP header: use one line of printable ASCII");
}

/**
 * `host[:port][/path]` and nothing else. baseplate.py puts any text between `://` and `/v2`, and so
 * sends to another place than the file seems to say, or with credentials of its own.
 */
const HOSTNAME = /^(?:\[[\da-f:.]+\]|[\p{L}\p{N}_][\p{L}\p{M}\p{N}._-]*)(?::0*[1-9]\d*)?(?:\/[^\s?#\\]*)?$/iu;

/**
 * Checks `collector.hostname` and returns it as written, without slashes at its end: with them, baseplate.py requests `//v2`.
 *
 * @throws {ConfigurationError} which never shows the value: where it is not a plain host, it may hold
 * a password.
 */
function parseCollectorHostname(text: string): string {
  if (text === "") throw new ConfigurationError("no value specified");
  if (HOSTNAME.test(text) && URL.canParse(`https://${text}`)) return text.replace(/\/+$/, "");
  throw new ConfigurationError(`expected host[:port][/path]${hint(text)}`);
}

function hint(text: string): string {
  if (text.includes("://")) return ", without the scheme: that is the key collector.scheme";
  if (text.includes("@")) return ", without a user and password: requests are signed with the key";
  const [, port] = /^[^/?#\s]*:(\d*)(?:\/|$)/.exec(text) ?? [];
  if (port !== undefined && !isPort(port)) return `, with a port from 1 to 65535, got ${quote(port)}`;
  if (/[?#]/.test(text)) return ", without ? and #: the path ends in the version";
  if (/\s/.test(text)) return ", without white space or a continuation line";
  return ", which does not make a valid URL";
}

function isPort(text: string): boolean {
  return Number(text) >= 1 && Number(text) <= 65_535;
}

/** Where batches are sent: `{scheme}://{hostname}/v{version}`, spelt exactly as baseplate.py does. */
function collectorUrl(parts: { scheme: string; hostname: string; version: string }): string {
  return `${parts.scheme}://${parts.hostname}/v${parts.version}`;
}
