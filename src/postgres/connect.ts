/**
 * Connections to a Postgres server.
 *
 * @module
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { isIP, connect as netConnect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import type postgres from "postgres";
import { isSocket, type PostgresConfig } from "../config/postgres_config.ts";
import { loadPackage } from "../load_package.ts";

/** How many batches are inserted at once, a connection each. Four insert twice as many events as one, on two shared cores. */
const MAX_CONNECTIONS = 4;

/** How long a connection stays open without a batch, in seconds: a fleet's are many. */
const IDLE_TIMEOUT_S = 60;

/** How long a further connection waits, in milliseconds: the library retries at once where a proxy closes what it took. */
const RECONNECT_MS = 100;

/** Connections that are opened as they are needed, and end together. */
export interface Client {
  /** Runs one statement. Parameters are texts, and the server sees them as such: cast them. */
  query(statement: string, parameters?: readonly string[]): Promise<Record<string, unknown>[]>;
  /** Runs several statements without parameters, all or none of them. */
  script(statements: string): Promise<void>;
  /** Ends each connection once its statement is done, or at once. Never rejects. */
  end(options: { readonly isNow: boolean }): Promise<void>;
}

/**
 * Makes a client. It connects with the first statement. After an error that is not the server's answer to a statement it
 * is of no use.
 *
 * @param name what `pg_stat_activity` calls it
 * @throws {ConfigurationError} (rejects) the package is not installed
 */
export async function openClient(config: PostgresConfig, name: string): Promise<Client> {
  const { default: library } = await loadPackage("postgres", () => import("postgres"));
  const ended = new AbortController();
  let opened = 0;
  const connect = async (): Promise<Socket> => {
    if (++opened > MAX_CONNECTIONS) await sleep(RECONNECT_MS);
    return await openSocket(config, ended.signal);
  };
  const open = (connection: postgres.Options<Record<string, never>>["connection"]) =>
    library({ ...optionsOf(config, connect), connection: { application_name: name, ...connection } });
  // Else a statement that waits for a lock would outlive the batch that gave it up.
  let sql = open({ statement_timeout: config.timeoutMs });
  let isPooled = false;
  const run = async <Result>(send: (sql: postgres.Sql) => Promise<Result>): Promise<Result> => {
    try {
      return await send(sql);
    } catch (error) {
      if (!NOT_TO_A_POOLER.test((error as Error).message)) throw error;
      if (!isPooled) {
        isPooled = true;
        sql = open({});
      }
      return await send(sql);
    }
  };
  return {
    // One statement each: the library's transactions throw where nobody catches when the server goes away.
    query: (statement, parameters = []) => run(async (sql) => await sql.unsafe(statement, [...parameters])),
    script: (statements) => run(async (sql) => void (await sql.unsafe(statements).simple())),
    end: async ({ isNow }) => {
      if (isNow) ended.abort();
      await sql.end({ timeout: isNow ? 0 : config.timeoutMs / 1_000 }).catch(() => {});
      ended.abort();
    },
  };
}

/** PgBouncer takes few of the parameters of a connection: then its own `query_timeout`, or the user's, must do. */
const NOT_TO_A_POOLER = /unsupported startup parameter/;

/** What is missing here the library takes from the environment: `$PGAPPNAME` and `$PGTARGETSESSIONATTRS` always. */
function optionsOf(
  config: PostgresConfig,
  socket: () => Promise<Socket>,
): postgres.Options<Record<string, never>> {
  const { address, timeoutMs } = config;
  const options: postgres.Options<Record<string, never>> & Undocumented = {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    // A function, since the library takes $PGPASSWORD for an empty text.
    password: () => new TextDecoder().decode(address.password?.reveal()),
    socket,
    ssl: false, // the socket's own
    sslnegotiation: null,
    max: MAX_CONNECTIONS,
    max_pipeline: 100,
    idle_timeout: IDLE_TIMEOUT_S,
    connect_timeout: Math.ceil(timeoutMs / 1_000),
    max_lifetime: null,
    keep_alive: 60,
    backoff: false,
    prepare: false, // poolers give each statement another connection
    fetch_types: false,
    debug: false,
    publications: "",
    target_session_attrs: undefined,
    onnotice: () => {},
  };
  return options;
}

/** Options of the library that its types lack. */
interface Undocumented {
  /** Opens a socket, instead of the library. */
  readonly socket: () => Promise<Socket>;
  readonly sslnegotiation: null;
  readonly max_pipeline: number;
}

/** The first bytes of a client that asks for TLS; the answer is `S` or `N`. Source: PostgreSQL, 55.2.12. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

async function openSocket(config: PostgresConfig, signal: AbortSignal): Promise<Socket> {
  const { address } = config;
  const { host, port } = address;
  signal.throwIfAborted(); // the library connects once more after its end
  const socket = isSocket(address) ? netConnect(`${host}/.s.PGSQL.${port}`) : netConnect(port, host);
  socket.on("error", () => {}); // who waits for it is told; it may come when nobody does
  const destroy = (): void => void socket.destroy();
  signal.addEventListener("abort", destroy, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", destroy));
  await once(socket, "connect", { signal });
  const tls = tlsOptionsOf(config);
  if (tls === undefined) return socket;
  socket.write(SSL_REQUEST);
  const [answer] = (await once(socket, "data", { signal })) as [Buffer];
  if (answer.toString("latin1") !== "S") {
    socket.destroy();
    throw new Error("the server has TLS switched off (ssl = off)");
  }
  const secured = tlsConnect({ ...tls, socket });
  secured.on("error", () => {});
  await once(secured, "secureConnect", { signal });
  return secured;
}

/** Undefined: no TLS. The files are read for each connection: certificates expire. */
function tlsOptionsOf({ address: { host, sslMode }, tls }: PostgresConfig): ConnectionOptions | undefined {
  if (tls === undefined && (sslMode === undefined || sslMode === "disable")) return undefined;
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path));
  return {
    host,
    ...(isIP(host) === 0 && { servername: host }),
    ca: read(tls?.caFile),
    cert: read(tls?.certFile),
    key: read(tls?.keyFile),
    rejectUnauthorized: tls !== undefined || sslMode === "verify-full",
  };
}
