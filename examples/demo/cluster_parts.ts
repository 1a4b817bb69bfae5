import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Child, Children } from "./children.ts";
import type { Host } from "./host.ts";
import { freePorts, STREAM } from "./nats_cluster.ts";

/** A collector. */
export interface CollectorNode {
  readonly name: string;
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly child: Child;
}

/** Starts the programs of the demo's fleet, each with a configuration file written for it. */
export class ClusterParts {
  /** The database of the rollup. */
  readonly rollupFile: string;
  readonly #children: Children;
  readonly #directory: string;
  readonly #servers: string;
  readonly #timeoutMs: number;
  readonly #secret = randomBytes(32).toString("base64");

  /**
   * @param servers the NATS servers, with commas between them
   * @param timeoutMs how long publishers wait for an answer
   */
  constructor(children: Children, options: { directory: string; servers: string; timeoutMs: number }) {
    this.#children = children;
    this.#directory = options.directory;
    this.#servers = options.servers;
    this.#timeoutMs = options.timeoutMs;
    this.rollupFile = join(options.directory, "rollup.db");
  }

  async startCollector(name: string): Promise<CollectorNode> {
    const [port] = await freePorts(1); // the balancer still tries it when the collector is dead
    const config = this.#writeConfig(`${name}.ini`, [
      "[event-collector]",
      `listen = 127.0.0.1:${port}`,
      `key.demo = ${this.#secret}`,
      "sink = nats",
      `nats.servers = ${this.#servers}`,
      "nats.subject = events.main",
      `nats.timeout = ${this.#timeoutMs}ms`,
    ]);
    const child = this.#children.start(name, ["src/commands/collector.ts", config]);
    return { name, address: await child.find(/Collecting at .*?http:\/\/(127\.0\.0\.1:\d+)/), child };
  }

  /** Starts a host's publisher. @param collectors `host:port` of the load balancer of the collectors */
  async startPublisher(host: Host, collectors: string): Promise<Child> {
    const name = `publisher of ${host.name}`;
    const config = this.#writeConfig(`${host.name}.ini`, [
      "[event-publisher:main]",
      `queue.directory = ${host.directory}`,
      "admin.listen = off",
      ...(host.way === "collectors" ? this.#toCollectors(collectors) : this.#toJetStream()),
    ]);
    const child = this.#children.start(name, ["src/commands/publisher.ts", config]);
    await child.find(/(Publishing queue)/);
    host.publisher = child;
    return child;
  }

  /** Starts a host's service, which puts events within a given time. */
  startService(host: Host, { events, durationMs }: { events: number; durationMs: number }): Child {
    const program = "examples/demo/programs/host_service.ts";
    const args = [program, host.name, host.directory, String(events), String(durationMs)];
    const service = this.#children.start(`service of ${host.name}`, args);
    host.follow(service);
    return service;
  }

  async startRollup(): Promise<Child> {
    const env = { NATS_SERVERS: this.#servers, STREAM, ROLLUP_DB: this.rollupFile };
    const rollup = this.#children.start("rollup", ["examples/rollup.ts"], env);
    await rollup.find(/(Counting)/);
    return rollup;
  }

  #toCollectors(address: string): string[] {
    return [
      "collector.scheme = http",
      `collector.hostname = ${address}`,
      `collector.timeout = ${this.#timeoutMs}ms`,
      "key.name = demo",
      `key.secret = ${this.#secret}`,
    ];
  }

  #toJetStream(): string[] {
    return [
      "destination = nats",
      `nats.servers = ${this.#servers}`,
      "nats.subject = events.main",
      `nats.timeout = ${this.#timeoutMs}ms`,
    ];
  }

  #writeConfig(name: string, lines: string[]): string {
    const path = join(this.#directory, name);
    writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });
    return path;
  }
}
