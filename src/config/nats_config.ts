/** How to connect to NATS servers: the keys that publisher and collector share. */
import { ConfigurationError } from "../errors.ts";
import { isLoopbackHost } from "../server/request_origin.ts";
import type { BatchVersion } from "../storage/events.ts";
import type { ConfigSection } from "./config_section.ts";
import { readableFileIn, readSecret, readTlsFiles, Secret, type TlsFiles } from "./credentials.ts";
import { durationMsIn, oneOf, optional, parseText, portFrom, quote, type ValueParser } from "./parsers.ts";
import { SubjectTemplate } from "./subject_template.ts";

/** The default of `nats.timeout`, in milliseconds. */
const DEFAULT_NATS_TIMEOUT_MS = 10_000;

/** How to log in. */
export type NatsLogin =
  | { readonly user: string; readonly password: Secret }
  | { readonly token: Secret }
  | { readonly nkeySeed: Secret }
  | { readonly credentialsFile: string };

/** The servers of a cluster, and how to log in. */
export interface NatsConnectionConfig {
  /** `nats.servers`: `host:port`, one or more. The other servers of the cluster are found through them. */
  readonly servers: readonly string[];
  /** `nats.user` and `nats.password`, `nats.token`, `nats.nkey_seed` or `nats.credentials_file`: the login. Default: none. */
  readonly login: NatsLogin | undefined;
  /** `tls://` in `nats.servers`, or one of `nats.tls_ca_file`, `nats.tls_cert_file`, `nats.tls_key_file`: TLS is required. Default: as the server requires. */
  readonly tls: TlsFiles | undefined;
  /** `nats.inbox_prefix`: the prefix of reply subjects, for users who may not subscribe to `_INBOX.>`. Default: `_INBOX`. */
  readonly inboxPrefix: string;
  /** `nats.timeout`: how long a batch waits for acknowledgements of its messages, in milliseconds. Default: 10 s. */
  readonly timeoutMs: number;
}

/** `destination = nats`: a JetStream stream. All keys are ours. */
export interface NatsDestinationConfig extends NatsConnectionConfig {
  /** Always `nats`. */
  readonly kind: "nats";
  /** `nats.stream`: the only stream that may store the events. Default: the stream of the subject. */
  readonly stream: string | undefined;
  /**
   * `nats.subject`: with `{queue}` for the name of the queue, and fields of the event in braces: `{topic}`,
   * `{user.country}`, or `{1}`, `{1.2}` for field ids of a Thrift event. Default: `events.{queue}`.
   */
  readonly subject: SubjectTemplate;
  /** `nats.messages`: one message per `event`, or per `batch`. Default: `event`. */
  readonly messages: "event" | "batch";
  /** `nats.batch_version`: the format of a message with a whole batch, as in `collector.version`. Default: `2`. */
  readonly batchVersion: BatchVersion;
}

/** `sink = nats`: a JetStream stream stores what a collector accepts. */
export interface NatsSinkConfig extends NatsConnectionConfig {
  /** Always `nats`. */
  readonly kind: "nats";
  /** `nats.stream`: the only stream that may store the events. Default: the stream of the subject. */
  readonly stream: string | undefined;
  /**
   * `nats.subject`: with `{key}` for the name of the key that signed the batch, and fields of the event in braces, as for
   * a publisher. Default: `events.{key}`.
   */
  readonly subject: SubjectTemplate;
}

const DEFAULT_PORT = "4222";

/** Reads a publisher's destination. @throws {ConfigurationError} */
export function readNatsDestination(section: ConfigSection): NatsDestinationConfig {
  const connection = readNatsConnection(section);
  const subject = readSubject(section, "queue");
  const messages = section.readOptional("nats.messages", oneOf("event", "batch"), "event" as const);
  const batchVersion = section.readOptional("nats.batch_version", oneOf("2", "2j"), "2" as const);
  if (messages === "batch" && subject.hasFields)
    throw section.error(
      "nats.subject",
      "contains a field, which can differ between the events of a batch: use nats.messages = event",
    );
  if (messages === "event" && section.has("nats.batch_version"))
    section.warn("nats.batch_version", "has no effect with nats.messages = event");
  const stream = section.readOptional("nats.stream", parseStreamName);
  return { kind: "nats", ...connection, stream, subject, messages, batchVersion };
}

/** Reads a collector's sink. @throws {ConfigurationError} */
export function readNatsSink(section: ConfigSection): NatsSinkConfig {
  const connection = readNatsConnection(section);
  const subject = readSubject(section, "key");
  const stream = section.readOptional("nats.stream", parseStreamName);
  return { kind: "nats", ...connection, stream, subject };
}

function readSubject(section: ConfigSection, name: "queue" | "key"): SubjectTemplate {
  return section.read("nats.subject", (text) => new SubjectTemplate(text || `events.{${name}}`, name));
}

/** Reads the keys that begin with `nats.` and say how to connect. */
function readNatsConnection(section: ConfigSection): NatsConnectionConfig {
  const servers = section.read("nats.servers", parseServers);
  const tls = readTls(section, servers.isTls);
  if (
    tls === undefined &&
    !servers.addresses.every((address) => isLoopbackHost(address.replace(/:\d+$/, "")))
  )
    section.warn(
      "nats.servers",
      "events are sent to another machine, unencrypted unless the server requires TLS: use tls://",
    );
  return {
    servers: servers.addresses,
    login: readLogin(section),
    tls,
    inboxPrefix: section.readOptional("nats.inbox_prefix", parseSubjectPrefix, "_INBOX"),
    timeoutMs: section.readOptional("nats.timeout", durationMsIn({ min: 1 }), DEFAULT_NATS_TIMEOUT_MS),
  };
}

interface Servers {
  readonly addresses: readonly string[];
  readonly isTls: boolean;
}

function parseServers(text: string): Servers {
  const parsed = parseText(text)
    .split(",")
    .map((server) => parseServer(server.trim()));
  return { addresses: parsed.map(({ address }) => address), isTls: parsed.some(({ isTls }) => isTls) };
}

/** The message never shows the value: a URL may contain a password. */
function parseServer(text: string): { address: string; isTls: boolean } {
  const [, scheme = "nats", host, port = DEFAULT_PORT] =
    /^(?:(nats|tls):\/\/)?(\[[\da-f:.]+\]|[\w.-]+)(?::(\d+))?$/i.exec(text) ?? [];
  if (host === undefined) {
    const hint = text.includes("@") ? ", without user and password: set nats.user and nats.password" : "";
    throw new ConfigurationError(
      `expected nats://host:port, tls://host:port or host:port, separated by commas${hint}`,
    );
  }
  portFrom(1)(port);
  return { address: `${host}:${port}`, isTls: scheme.toLowerCase() === "tls" };
}

function readTls(section: ConfigSection, isAsked: boolean): TlsFiles | undefined {
  const files = readTlsFiles(section, "nats.");
  return files ?? (isAsked ? { caFile: undefined, certFile: undefined, keyFile: undefined } : undefined);
}

function readLogin(section: ConfigSection): NatsLogin | undefined {
  const secret: ValueParser<Secret | undefined> = optional(
    (text) => new Secret(Buffer.from(text)),
    undefined,
  );
  const user = section.readOptional("nats.user", parseText);
  const password = readSecret(section, "nats.password", secret);
  const token = readSecret(section, "nats.token", secret);
  const nkeySeed = readSecret(section, "nats.nkey_seed", secret);
  const credentialsFile = section.readOptional("nats.credentials_file", readableFileIn(section));
  if ((user === undefined) !== (password === undefined))
    throw section.error("nats.user", "needs nats.password or nats.password_file: set both or none");
  const logins: Array<NatsLogin | undefined> = [
    user !== undefined && password !== undefined ? { user, password } : undefined,
    token && { token },
    nkeySeed && { nkeySeed },
    credentialsFile === undefined ? undefined : { credentialsFile },
  ];
  const given = logins.filter((login) => login !== undefined);
  if (given.length > 1)
    throw section.error(
      "nats.servers",
      "has several logins: keep one of nats.user, nats.token, nats.nkey_seed and nats.credentials_file",
    );
  return given[0];
}

/** Source: the names of streams in NATS, ADR-6. */
function parseStreamName(text: string): string {
  if (/^[^\s.*>/\\]+$/.test(text)) return text;
  throw new ConfigurationError(
    `expected the name of a stream, without spaces and . * > / \\, got ${quote(text)}`,
  );
}

/** Reads a subject of plain tokens, without wildcards. */
function parseSubjectPrefix(text: string): string {
  if (/^[\w-]+(?:\.[\w-]+)*$/.test(text)) return text;
  throw new ConfigurationError(
    `expected letters, digits, _ and - with dots between them, got ${quote(text)}`,
  );
}

/** What `--check` prints of it. */
export function natsSettings(nats: NatsDestinationConfig | NatsSinkConfig): Record<string, unknown> {
  return {
    nats_servers: nats.servers,
    nats_login: nats.login === undefined ? "none" : Object.keys(nats.login)[0],
    nats_tls: nats.tls !== undefined,
    nats_stream: nats.stream ?? null,
    nats_subject: nats.subject.text,
    nats_timeout_ms: nats.timeoutMs,
  };
}
