/** How to reach a Postgres table: the keys `postgres.*`, the same for a publisher and a collector. */
import { ConfigurationError } from "../errors.ts";
import type { ConfigSection } from "./config_section.ts";
import { readSecret, readTlsFiles, Secret, type TlsFiles } from "./credentials.ts";
import { durationMsIn, oneOf, quote } from "./parsers.ts";

/** How long a batch may take, from the connection to the answer, in milliseconds. */
const DEFAULT_POSTGRES_TIMEOUT_MS = 10_000;

const DEFAULT_PORT = 5432;

/** How a connection is encrypted. `require` does not check who answers, as in libpq. */
export type PostgresTls = "disable" | "require" | "verify-full";

/** What `postgres.url` says. */
export interface PostgresAddress {
  /** A name, an IP address, or the directory of a Unix socket. */
  readonly host: string;
  /** Default: 5432. */
  readonly port: number;
  /** The database's name. */
  readonly database: string;
  /** The role that connects. */
  readonly user: string;
  /** Undefined: none, such as with a Unix socket or a certificate. */
  readonly password: Secret | undefined;
  /** Undefined: `verify-full` if one of the TLS keys is set, else `disable`. */
  readonly sslMode: PostgresTls | undefined;
}

/** `destination = postgres` of a publisher, `sink = postgres` of a collector: a table. All keys are ours. */
export interface PostgresConfig {
  /** Always `postgres`. */
  readonly kind: "postgres";
  /**
   * `postgres.url`, or what the file `postgres.url_file` holds: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with
   * `?sslmode=verify-full` for TLS; or `postgres://USER@/DATABASE?host=DIRECTORY` for a Unix socket. Required.
   */
  readonly address: PostgresAddress;
  /**
   * `postgres.tls_ca_file`, `postgres.tls_cert_file`, `postgres.tls_key_file`: the authorities that are trusted, and the
   * certificate and key that the server asks for, in PEM. One of them means `sslmode=verify-full`.
   */
  readonly tls: TlsFiles | undefined;
  /** `postgres.table`: `TABLE` or `SCHEMA.TABLE`; it is created if it is missing. Default: `events`. */
  readonly table: string;
  /** `postgres.partition`: `day` partitions the table by the day, in UTC, on which events arrive. Default: `none`. */
  readonly partition: "none" | "day";
  /** `postgres.timeout`: how long a batch may take, in milliseconds, the connection included. Default: 10 s. */
  readonly timeoutMs: number;
}

/** Reads the keys that begin with `postgres.`. @throws {ConfigurationError} */
export function readPostgres(section: ConfigSection): PostgresConfig {
  const address = readSecret(section, "postgres.url", parseAddress);
  const tls = readTlsFiles(section, "postgres.");
  if (tls !== undefined && (address.sslMode === "disable" || isSocket(address)))
    throw section.error("postgres.tls_ca_file", "has no effect: postgres.url is without TLS");
  if (tls === undefined && address.sslMode !== "verify-full" && !isLocal(address))
    section.warn(
      "postgres.url",
      address.sslMode === "require"
        ? "sslmode=require does not check who answers: use sslmode=verify-full, and postgres.tls_ca_file for a private authority"
        : "events are sent unencrypted to another machine: add ?sslmode=verify-full",
    );
  const timeout = durationMsIn({ min: 1 });
  return {
    kind: "postgres",
    address,
    tls,
    table: section.readOptional("postgres.table", parseTable, "events"),
    partition: section.readOptional("postgres.partition", oneOf("none", "day"), "none" as const),
    timeoutMs: section.readOptional("postgres.timeout", timeout, DEFAULT_POSTGRES_TIMEOUT_MS),
  };
}

/** Where events go, for people: `postgres://HOST:PORT/DATABASE/TABLE`, without user and password. */
export function describePostgres({ address: { host, port, database }, table }: PostgresConfig): string {
  return `postgres://${host}:${port}/${database}/${table}`;
}

const FORM =
  "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %23, %2F, %3F and %40 for # / ? @ in the password";

const HOST = /^(?:\[[\da-f:.]+\]|[\w.-]+)$/i;

/** The messages never show the value: it holds a password. */
function parseAddress(text: string): PostgresAddress {
  // With a user, a URL must have a host; for a Unix socket that is the parameter `host`.
  const standard = text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[:/])/, "$1localhost");
  if (!/^postgres(?:ql)?:\/\//.test(text) || !URL.canParse(standard)) throw new ConfigurationError(FORM);
  const { username, password, hostname, port, pathname, search, searchParams, hash } = new URL(standard);
  const database = decode(pathname.slice(1));
  // Behind the host these are parts of a password: messages would show what comes before and after them.
  const isCut = hash !== "" || `${pathname}${search}`.includes("@");
  if (isCut || username === "" || !HOST.test(hostname) || database === "" || database.includes("/"))
    throw new ConfigurationError(FORM);
  const unknown = [...searchParams.keys()].find((name) => name !== "sslmode" && name !== "host");
  if (unknown !== undefined)
    throw new ConfigurationError(`has the parameter ${quote(unknown)}: only sslmode and host are known`);
  return {
    host: searchParams.get("host") ?? hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? DEFAULT_PORT : Number(port),
    database,
    user: decode(username),
    password: password === "" ? undefined : new Secret(Buffer.from(decode(password))),
    sslMode: parseSslMode(searchParams.get("sslmode")),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ConfigurationError("has a % that encodes no character: write %25 for a % of the password");
  }
}

function parseSslMode(text: string | null): PostgresTls | undefined {
  if (text === null || text === "disable" || text === "require" || text === "verify-full")
    return text ?? undefined;
  throw new ConfigurationError(`sslmode must be disable, require or verify-full, got ${quote(text)}`);
}

/** The longest name, in bytes: Postgres has 63, and the name of a partition adds 9. */
const MAX_NAME_BYTES = 54;

function parseTable(text: string): string {
  const names = text.split(".");
  const isName = (name: string) => /^[a-z_][a-z0-9_]*$/.test(name) && name.length <= MAX_NAME_BYTES;
  if (names.length <= 2 && names.every(isName)) return text;
  throw new ConfigurationError(
    `expected TABLE or SCHEMA.TABLE, of a-z, 0-9 and _ and at most ${MAX_NAME_BYTES} characters each, got ${quote(text)}`,
  );
}

/** Whether it is the directory of a Unix socket. */
export function isSocket({ host }: PostgresAddress): boolean {
  return host.startsWith("/");
}

function isLocal(address: PostgresAddress): boolean {
  return isSocket(address) || /^(?:localhost|127(?:\.\d+){3}|::1)$/.test(address.host);
}

/** What `--check` prints of it. */
export function postgresSettings({
  address,
  tls,
  table,
  partition,
  timeoutMs,
}: PostgresConfig): Record<string, unknown> {
  return {
    postgres_host: address.host,
    postgres_port: address.port,
    postgres_database: address.database,
    postgres_user: address.user,
    postgres_tls: tls === undefined ? (address.sslMode ?? "disable") : "verify-full",
    postgres_table: table,
    postgres_partition: partition,
    postgres_timeout_ms: timeoutMs,
  };
}
