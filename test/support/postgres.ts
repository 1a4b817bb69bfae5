import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, globSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import type { PostgresConfig } from "../../src/config/postgres_config.ts";
import { parsePublisherConfig } from "../../src/config/publisher_config.ts";
import { iniOf } from "./config.ts";
import { eventually } from "./eventually.ts";
import { type Program, startCommand } from "./processes.ts";
import { freePorts } from "./servers.ts";
import { temporaryDirectory } from "./temporary.ts";

/** Where the programs are: on the path, or where Debian's packages put them. */
const PROGRAMS: string | undefined = ["", ...globSync("/usr/lib/postgresql/*/bin/")].find(
  (directory) => spawnSync(`${directory}initdb`, ["--version"]).status === 0,
);

/** Why tests with a real server are skipped, for `skip`; false: they are not. */
export const NO_POSTGRES: string | false =
  PROGRAMS === undefined && "Postgres is not installed: apt-get install postgresql";

/** `nobody` of every Linux: the server rejects root. */
const NOBODY = 65_534;
const IS_ROOT = process.getuid?.() === 0;

/** The superuser. */
const USER = "tests";
export const PASSWORD = "not for production: #%&?";

/** A server of its own process and directory, with TLS by the certificates of the tests. Gone when the test ends. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** The directory of its Unix socket. */
  readonly directory: string;
  /** Gives a directory to the server's user. */
  own(directory: string): void;
  /** Runs a statement as the superuser, over a connection of its own. */
  query(statement: string, database?: string): Promise<readonly Record<string, unknown>[]>;
  /** What `postgres.url` says, for the superuser by default. */
  url(parts?: { readonly user?: string; readonly password?: string; readonly database?: string }): string;
  /** Ends all of it at once, as kill -9 does. Resolves when its port is free. */
  kill(): Promise<void>;
  /** Starts it again with what it has stored. @param options as on its command line */
  start(...options: string[]): Promise<void>;
}

export async function startPostgres(...options: string[]): Promise<PostgresServer> {
  const [port = 0] = await freePorts(1);
  const temporary = temporaryDirectory();
  const directory = temporary.path;
  const data = join(directory, "data");
  own(directory);
  initialize(directory, data);
  let program: Program | undefined;
  const url: PostgresServer["url"] = ({ user = USER, password = PASSWORD, database = "postgres" } = {}) =>
    `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  const server: PostgresServer = {
    port,
    directory,
    url,
    own,
    query: async (statement, database = "postgres") => {
      const sql = postgres(url({ database }), { max: 1, onnotice: () => {} });
      try {
        return await sql.unsafe(statement);
      } finally {
        await sql.end({ timeout: 0 }); // it waits for ever for a connection that was cut
      }
    },
    kill: async () => {
      const { pid } = program!.child;
      // Stopped, it starts no process that would be left, and keep the next server from its shared memory.
      program!.signal("SIGSTOP");
      await eventually("a server that has stopped", () =>
        /\) T/.test(readFileSync(`/proc/${pid}/stat`, "utf8")),
      );
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
      for (const each of [pid, ...children]) if (each) killNow(Number(each));
      await program!.ended;
      await eventually("an end of all its processes", () => children.every((each) => !isAlive(Number(each))));
    },
    start: async (...more) => {
      const settings = ["listen_addresses=127.0.0.1", "ssl=on", ...options, ...more];
      program = startCommand(
        unprivileged("postgres", [
          "-D",
          data,
          "-p",
          String(port),
          "-k",
          directory,
          ...settings.flatMap((s) => ["-c", s]),
        ]),
      );
      await program.line(/ready to accept connections/);
    },
    [Symbol.asyncDispose]: async () => {
      if (program?.child.exitCode === null) program.signal("SIGQUIT");
      await program?.ended;
      temporary[Symbol.dispose]();
    },
  };
  await server.start();
  return server;
}

/** The configuration of a publisher or a collector. */
export function postgresConfig(url: string, settings: Readonly<Record<string, string>> = {}): PostgresConfig {
  const all = { destination: "postgres", "postgres.url": url, "postgres.timeout": "20s", ...settings };
  const { destination } = parsePublisherConfig(iniOf("event-publisher:main", all), { env: {} });
  if (destination.kind !== "postgres") throw new Error(destination.kind);
  return destination;
}

function initialize(directory: string, data: string): void {
  const file = join(directory, "password");
  const write = `printf %s "$PASSWORD" > "$0" && exec "$@"`;
  const initdb = `${PROGRAMS}initdb`;
  const options = [
    "-D",
    data,
    "-U",
    USER,
    "-A",
    "scram-sha-256",
    "--pwfile",
    file,
    "-E",
    "UTF8",
    "--locale=C",
    "--no-sync",
  ];
  const [command, args] = unprivileged("", ["-c", write, file, initdb, ...options], "/bin/sh");
  const { status, stderr } = spawnSync(command, args, {
    env: { ...process.env, PASSWORD },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  rmSync(file);
  for (const name of ["server.pem", "server.key"]) {
    const copy = join(data, name.replace("pem", "crt"));
    copyFileSync(fileURLToPath(new URL(`certificates/${name}`, import.meta.url)), copy);
    chmodSync(copy, 0o600);
    own(copy);
  }
}

function own(path: string): void {
  if (IS_ROOT) chownSync(path, NOBODY, NOBODY);
}

function unprivileged(
  name: string,
  args: readonly string[],
  command: string = `${PROGRAMS}${name}`,
): [string, string[]] {
  if (!IS_ROOT) return [command, [...args]];
  return ["setpriv", [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", command, ...args]];
}

function killNow(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {} // it has ended by itself
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
