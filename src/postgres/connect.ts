/** Connections to a Postgres server. */
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

/** How long a connection stays open without a batch, in seconds: a fleet has many connections. */
const IDLE_TIMEOUT_S = 60;

/** How long a connection beyond the first few waits, in milliseconds: if a proxy closes what it accepts, the library retries in a loop. */
const RECONNECT_MS = 100;

/** The rows that a statement returns, and how many it inserted or returned. */
export type Rows = readonly Record<string, unknown>[] & { readonly count: number };

/** A pool of connections. They open when needed, and end together. */
export interface Client {
  /** Runs one statement. All parameters are texts: cast them in the statement. */
  query(statement: string, parameters?: readonly string[]): Promise<Rows>;
  /** Runs several statements without parameters, all or none of them. */
  script(statements: string): Promise<void>;
  /** Ends each connection when its statement is done, or all of them now. Never rejects. */
  end(options: { readonly isNow: boolean }): Promise<void>;
}

/**
 * Makes a client, which connects with the first statement. Drop it after an error of a connection: the library does not
 * recover from each of them.
 *
 * @param name the `application_name` in `pg_stat_activity`
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
  // So that a statement that waits for a lock ends on the server too when its batch is given up here.
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
    // One statement each: in a transaction of the library, a connection that breaks throws where nobody can catch it.
    query: (statement, parameters = []) => run(async (sql) => await sql.unsafe(statement, [...parameters])),
    script: (statements) => run(async (sql) => void (await sql.unsafe(statements).simple())),
    end: async ({ isNow }) => {
      if (isNow) ended.abort();
      await sql.end({ timeout: isNow ? 0 : config.timeoutMs / 1_000 }).catch(() => {});
      ended.abort();
    },
  };
}

/** PgBouncer rejects `statement_timeout` as a parameter of a connection: then we connect without it. */
const NOT_TO_A_POOLER = /unsupported startup parameter/;

/** Sets all options that the library would read from the environment. It always reads `$PGAPPNAME` and `$PGTARGETSESSIONATTRS`. */
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
    // A function: instead of an empty text the library would use $PGPASSWORD.
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
  signal.throwIfAborted(); // the library may connect once more after its end
  const socket = isSocket(address) ? netConnect(`${host}/.s.PGSQL.${port}`) : netConnect(port, host);
  socket.on("error", () => {}); // reported by `once` and by the library; without a listener it would end the process
  const destroy = (): void => void socket.destroy();
  signal.addEventListener("abort", destroy, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", destroy));
  await once(socket, "connect", { signal });
  const tls = tlsOptionsOf(config);
  if (tls === undefined) return socket;
  socket.write(SSL_REQUEST);
  const [answer] = (await once(socket, "data", { signal })) as [Buffer];
  const reply = answer.toString("latin1");
  if (reply !== "S") {
    socket.destroy();
    throw new Error(
      reply === "N"
        ? "the server has TLS switched off (ssl = off)"
        : "this is not a Postgres server with TLS",
    );
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
