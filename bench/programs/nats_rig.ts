/** A nats-server with one stream on disk: no replicas, a duplicate window of two minutes. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Child, freePort } from "./child.ts";

const STREAM = "EVENTS";

/** The server, seen from outside. */
export class NatsRig implements AsyncDisposable {
  /** `host:port`. */
  readonly address: string;
  readonly connection: NatsConnection;
  readonly #server: Child;
  readonly #directory: string;
  readonly #manager: JetStreamManager;

  private constructor(
    address: string,
    directory: string,
    parts: { server: Child; connection: NatsConnection; manager: JetStreamManager },
  ) {
    this.address = address;
    this.#directory = directory;
    this.#server = parts.server;
    this.connection = parts.connection;
    this.#manager = parts.manager;
  }

  static async open(directory: string): Promise<NatsRig> {
    const own = mkdtempSync(join(directory, "nats-"));
    const port = await freePort();
    const args = ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", own];
    const server = await Child.start(["nats-server", ...args], /Server is ready/);
    const address = `127.0.0.1:${port}`;
    const connection = await connect({ servers: address });
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: STREAM, subjects: ["events.>"] });
    return new NatsRig(address, own, { server, connection, manager });
  }

  /** How many messages the stream has. */
  async messages(): Promise<number> {
    return (await this.#manager.streams.info(STREAM)).state.messages;
  }

  /** Resolves with the moment, of `performance.now()`, at which the stream has so many messages. */
  async has(count: number): Promise<number> {
    while ((await this.messages()) < count) await sleep(count === 1 ? 2 : 20);
    return performance.now();
  }

  /** The server's CPU time so far, in microseconds. */
  cpuUs(): number {
    return this.#server.cpuUs();
  }

  /** Publishes so many messages, a thousand on their way at once: what the library's users write. */
  async publishAll(count: number, body: (index: number) => Uint8Array): Promise<void> {
    const js = jetstream(this.connection);
    let next = 0;
    const publish = async (): Promise<void> => {
      while (next < count) {
        const index = next++;
        await js.publish("events.main", body(index), { msgID: `bench:${index}` });
      }
    };
    await Promise.all(Array.from({ length: 1_000 }, publish));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection.close();
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
