import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, nanos } from "@nats-io/transport-node";
import type { Child, Children } from "./children.ts";
import { MisuseError } from "./run_demo.ts";

/** The stream of all events. */
export const STREAM = "EVENTS";

/** The duplicate window: longer than a publisher may be down. */
const DUPLICATE_WINDOW_MS = 600_000;

/** Short for the demo: without a leader nobody responds, and the request is repeated. */
const ASK_TIMEOUT_MS = 1_000;

const LOOK_MS = 100;

/** Debian's package installs it where only root's PATH looks. */
const COMMANDS = ["nats-server", "/usr/sbin/nats-server"];

/** @throws {MisuseError} nats-server is not installed, and `$NATS_SERVER` is not set */
export function findNatsServer(): string {
  const { NATS_SERVER } = process.env;
  const commands = NATS_SERVER === undefined ? COMMANDS : [NATS_SERVER];
  const command = commands.find((name) => spawnSync(name, ["--version"]).status === 0);
  if (command !== undefined) return command;
  throw new MisuseError(
    "nats-server is not installed. Debian, Ubuntu: apt-get install nats-server; macOS: brew install nats-server; " +
      "others: https://github.com/nats-io/nats-server/releases, and NATS_SERVER=/path/to/nats-server.",
  );
}

/** One of the servers. */
export interface NatsNode {
  readonly name: string;
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly child: Child;
}

/** Three NATS servers, and a stream with a replica on each. */
export class NatsCluster implements AsyncDisposable {
  readonly nodes: readonly NatsNode[];
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;

  private constructor(nodes: readonly NatsNode[], connection: NatsConnection, manager: JetStreamManager) {
    this.nodes = nodes;
    this.#connection = connection;
    this.#manager = manager;
  }

  /** Resolves when the stream exists. @param command see {@link findNatsServer} */
  static async start(children: Children, command: string, directory: string): Promise<NatsCluster> {
    const ports = await freePorts(6);
    const routes = ports.slice(3).map((port) => `nats://127.0.0.1:${port}`);
    const starting = ports.slice(0, 3).map(async (port, index): Promise<NatsNode> => {
      const name = `nats-${index + 1}`;
      const config = join(directory, `${name}.conf`);
      const store = join(directory, name);
      mkdirSync(store);
      writeFileSync(
        config,
        `server_name: ${name}
listen: "127.0.0.1:${port}"
jetstream { store_dir: "${store}" }
cluster { name: demo, listen: "127.0.0.1:${ports[index + 3]}", routes: [${routes.join(", ")}] }
`,
      );
      const child = children.startCommand(name, [command, "-c", config]);
      await child.find(/(Server is ready)/);
      return { name, address: `127.0.0.1:${port}`, child };
    });
    const nodes = await Promise.all(starting);
    const servers = nodes.map(({ address }) => address);
    const connection = await connect({
      servers,
      name: "demo",
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
    });
    const options = { timeout: ASK_TIMEOUT_MS, checkAPI: false };
    const cluster = new NatsCluster(nodes, connection, await jetstreamManager(connection, options));
    await cluster.#makeStream();
    return cluster;
  }

  /** All servers, as in configuration files. */
  get addresses(): string {
    return this.nodes.map(({ address }) => address).join(",");
  }

  /** How many messages the stream has, and which server leads it; undefined: no server responds now. */
  async look(): Promise<{ readonly messages: number; readonly leader: string | undefined } | undefined> {
    try {
      const { state, cluster } = await this.#manager.streams.info(STREAM);
      return { messages: state.messages, leader: cluster?.leader };
    } catch {
      return undefined;
    }
  }

  /** Resolves with the server that leads the stream, once there is one. @param dead the previous leader */
  async leader(dead?: NatsNode): Promise<NatsNode> {
    for (;;) {
      const name = (await this.look())?.leader;
      const node = this.nodes.find((one) => one.name === name);
      if (node !== undefined && node !== dead) return node;
      await sleep(LOOK_MS);
    }
  }

  /** All messages of the stream, in order. */
  async *read(): AsyncGenerator<string> {
    const { state } = await this.#repeat(() => this.#manager.streams.info(STREAM));
    if (state.messages === 0) return;
    // A cluster may place the consumer on a dead server, and then nobody responds.
    const client = jetstream(this.#connection, { timeout: ASK_TIMEOUT_MS });
    const consumer = await this.#repeat(() => client.consumers.get(STREAM));
    for await (const message of await consumer.consume()) {
      yield message.string();
      if (message.seq >= state.last_seq) return;
    }
  }

  async #repeat<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch {
        await sleep(LOOK_MS);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  /** The servers first elect one that places streams. */
  async #makeStream(): Promise<void> {
    const config = {
      name: STREAM,
      subjects: ["events.>"],
      num_replicas: 3,
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
    };
    while ((await this.look()) === undefined) {
      await this.#manager.streams.add(config).catch(() => sleep(LOOK_MS));
    }
  }
}

/** Different free ports, below those that systems give to others: none of these gets one before or after its server. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 5_000 + Math.floor(Math.random() * 5_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    ports.add(port);
    server.close();
    await once(server, "close");
  }
  return [...ports];
}
