import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type JetStreamManager, jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import { eventually } from "./eventually.ts";
import { type Program, startCommand } from "./processes.ts";
import { freePorts } from "./servers.ts";
import { temporaryDirectory } from "./temporary.ts";

/** Where Debian's package puts it, which is on root's path alone. */
const DEBIAN_PATH = "/usr/sbin/nats-server";

/** The program; undefined: it is not installed. */
export const NATS_SERVER: string | undefined = ["nats-server", DEBIAN_PATH].find(
  (command) => spawnSync(command, ["--version"]).status === 0,
);

/** Why tests with a real server are skipped, for `skip`; false: they are not. */
export const NO_NATS: string | false =
  NATS_SERVER === undefined && "nats-server is not installed: apt-get install nats-server";

/** How long a stream of the tests knows the ids that it has, in nanoseconds: ten minutes. */
const DUPLICATE_WINDOW_NS = 600e9;

/** How long a question may take on a slow machine, and one that is asked again at first, in milliseconds. */
const PATIENT_MS = 120_000;
const IMPATIENT_MS = 1_000;

/** How long the messages of a stream may take to come before they are asked for again, in milliseconds. */
const READ_MS = 30_000;

/** A nats-server with JetStream, of its own process and directory. Gone when the test ends. */
export interface NatsServer extends AsyncDisposable {
  /** `127.0.0.1:PORT`, the same after a restart. */
  readonly address: string;
  /** Ends it at once, as kill -9 does. Resolves when its port is free. */
  kill(): Promise<void>;
  /** Starts it again, on the same port, with what it has stored. Resolves when it takes connections. */
  start(): Promise<void>;
  /** Stops the process without ending it, so that nothing answers any more; and lets it go on. */
  freeze(): Promise<void>;
  thaw(): void;
}

/** Starts a server. @param config what else its configuration file says */
export async function startNats(
  config: string = "",
  { hasJetStream = true }: { readonly hasJetStream?: boolean } = {},
): Promise<NatsServer> {
  const [port = 0] = await freePorts(1);
  const server = prepareNats({ port, name: "n1", config, hasJetStream });
  await startAll([server]);
  return server;
}

/** Starts a cluster of three. Resolves when streams can be made with three replicas. */
export async function startCluster(): Promise<{ readonly servers: readonly NatsServer[] } & AsyncDisposable> {
  const ports = await freePorts(6);
  const routes = ports.slice(3);
  const urls = routes.map((port) => `nats://127.0.0.1:${port}`).join(", ");
  const servers = routes.map((route, index) => {
    const config = `cluster { name: C, listen: "127.0.0.1:${route}", routes: [${urls}] }`;
    return prepareNats({ port: ports[index]!, name: `n${index + 1}`, config, hasJetStream: true });
  });
  await startAll(servers);
  await answered("a cluster that takes a stream", async (timeoutMs) => {
    await using client = await openNats(servers[0]!, {}, timeoutMs); // without a leader nobody answers
    await client.jsm.streams.add({ name: "READY", subjects: ["ready"], num_replicas: 3 });
    return await client.jsm.streams.delete("READY");
  });
  const dispose = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  };
  return { servers, [Symbol.asyncDispose]: dispose };
}

/** Starts servers, or leaves none of them behind. */
async function startAll(servers: readonly NatsServer[]): Promise<void> {
  const started = await Promise.allSettled(servers.map((server) => server.start()));
  const failed = started.find((result) => result.status === "rejected");
  if (failed === undefined) return;
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  throw failed.reason;
}

/** Which server of a cluster leads a stream, waiting for one that does. */
export async function leaderOf(servers: readonly NatsServer[], stream: string): Promise<NatsServer> {
  return await answered("a leader", async (timeoutMs) => {
    await using client = await openNats(servers[0]!, {}, timeoutMs);
    const { cluster } = await client.jsm.streams.info(stream);
    return servers.find((_, index) => `n${index + 1}` === cluster?.leader);
  });
}

/**
 * Asks until there is an answer: a cluster that elects a leader, or has just made a stream, may give none, or an error.
 * Each time more patiently.
 */
async function answered<T>(what: string, ask: (timeoutMs: number) => Promise<T>): Promise<NonNullable<T>> {
  let problem: unknown;
  let timeoutMs = IMPATIENT_MS;
  const look = (): Promise<T | undefined> =>
    ask(timeoutMs).catch((error) => {
      problem = error;
      timeoutMs *= 1.5;
      return undefined;
    });
  return await eventually(what, look).catch((cause) => {
    throw new Error(`${(cause as Error).message}: ${problem}`, { cause });
  });
}

interface ServerOptions {
  readonly port: number;
  readonly name: string;
  readonly config: string;
  readonly hasJetStream: boolean;
}

function prepareNats(options: ServerOptions): NatsServer {
  const directory = temporaryDirectory();
  const file = join(directory.path, "nats.conf");
  const lines = [
    `server_name: ${options.name}`,
    `listen: "127.0.0.1:${options.port}"`,
    options.hasJetStream ? `jetstream { store_dir: "${directory.path}" }` : "",
    options.config,
  ];
  writeFileSync(file, lines.join("\n"));
  let program: Program | undefined;
  const signal = (name: NodeJS.Signals): void => program?.signal(name);
  return {
    address: `127.0.0.1:${options.port}`,
    start: async () => {
      program = startCommand([NATS_SERVER!, ["-c", file]]);
      await program.line(/Server is ready/);
    },
    kill: async () => {
      signal("SIGKILL");
      await program?.ended;
    },
    freeze: async () => {
      signal("SIGSTOP");
      await eventually("a process whose threads have all stopped", () => isStopped(program!.child.pid!));
    },
    thaw: () => signal("SIGCONT"),
    [Symbol.asyncDispose]: async () => {
      await program?.[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** The signal alone does not tell: a busy machine lets threads run for a while. Where there is no /proc, nobody tells. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  return readdirSync(tasks).every((task) => {
    const stat = join(tasks, task, "stat");
    return !existsSync(stat) || /\) T/.test(readFileSync(stat, "utf8"));
  });
}

/** A message of a stream. */
export interface StoredMessage {
  readonly subject: string;
  /** Its `Nats-Msg-Id`. */
  readonly id: string;
  readonly text: string;
}

/** A client that makes streams and looks into them. */
export interface NatsClient extends AsyncDisposable {
  readonly nc: NatsConnection;
  readonly jsm: JetStreamManager;
  makeStream(config: Partial<StreamConfig> & { readonly name: string }): Promise<unknown>;
  /** All messages of a stream, in order, once there are `count`: a new leader may not know yet what the old one stored. */
  read(stream: string, count?: number): Promise<StoredMessage[]>;
}

/** Connects to a server. What it asks while the server restarts is lost: ask another client then. */
export async function openNats(
  server: NatsServer,
  options: ConnectionOptions = {},
  timeoutMs: number = PATIENT_MS,
): Promise<NatsClient> {
  const nc = await connect({ servers: server.address, timeout: timeoutMs, ...options });
  const jsm = await jetstreamManager(nc, { timeout: timeoutMs, checkAPI: false });
  return {
    nc,
    jsm,
    makeStream: (config) =>
      answered(`the stream ${config.name}`, () =>
        jsm.streams.add({ duplicate_window: DUPLICATE_WINDOW_NS, ...config }),
      ),
    read: (stream, count = 0) =>
      answered(`${count} messages of ${stream}`, (timeoutMs) => {
        return readStream({ nc, jsm }, { stream, count, timeoutMs });
      }),
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

/** Undefined: there are fewer messages, or not all of them came. */
async function readStream(
  { nc, jsm }: Pick<NatsClient, "nc" | "jsm">,
  { stream, count, timeoutMs }: { stream: string; count: number; timeoutMs: number },
): Promise<StoredMessage[] | undefined> {
  const { state } = await jsm.streams.info(stream);
  if (state.messages < count) return undefined;
  const found: StoredMessage[] = [];
  if (state.messages === 0) return found;
  // A cluster may want to have it on a server that is dead, and then does not answer.
  const consumer = await jetstream(nc, { timeout: timeoutMs }).consumers.get(stream);
  const messages = await consumer.consume();
  const giveUp = setTimeout(() => messages.stop(), READ_MS);
  for await (const message of messages) {
    const id = message.headers?.get("Nats-Msg-Id") ?? "";
    found.push({ subject: message.subject, id, text: message.string() });
    if (message.seq >= state.last_seq) break;
  }
  clearTimeout(giveUp);
  await messages.close();
  return found.length < state.messages ? undefined : found;
}
