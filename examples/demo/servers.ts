import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Child, Children } from "./children.ts";

/** A child that serves, and its address. */
export interface Server {
  readonly child: Child;
  /** Such as `http://127.0.0.1:41475`. */
  readonly address: string;
}

/** Starts the programs of the demo on free ports, with a configuration file for each. */
export class Servers {
  /** The directory of all files. */
  readonly directory: string;
  /** The output of the collector. */
  readonly outputFile: string;
  readonly #children: Children;
  readonly #collectorTimeoutMs: number;
  readonly #secret: string = randomBytes(32).toString("base64");

  constructor(children: Children, options: { directory: string; collectorTimeoutMs: number }) {
    this.directory = options.directory;
    this.outputFile = join(options.directory, "events.jsonl");
    this.#children = children;
    this.#collectorTimeoutMs = options.collectorTimeoutMs;
  }

  startService(): Promise<Server> {
    return this.#start("service", "Serving at", ["examples/service.ts"]);
  }

  startCollector(): Promise<Server> {
    const config = this.#writeConfig("collector.ini", [
      "[event-collector]",
      "listen = 127.0.0.1:0",
      `output = ${this.outputFile}`,
      `key.demo = ${this.#secret}`,
    ]);
    return this.#start("collector", "Collecting at", ["src/commands/collector.ts", config]);
  }

  startPublisher(collector: Server): Promise<Server> {
    const config = this.#writeConfig("publisher.ini", [
      "[event-publisher:main]",
      "collector.scheme = http",
      `collector.hostname = ${new URL(collector.address).host}`,
      "collector.version = 2j",
      `collector.timeout = ${this.#collectorTimeoutMs}ms`,
      "key.name = demo",
      `key.secret = ${this.#secret}`,
      "metrics.namespace = demo",
      "admin.listen = 127.0.0.1:0",
    ]);
    return this.#start("publisher", "Admin at", ["src/commands/publisher.ts", config]);
  }

  /** @param announcement the text before the address in the child's output */
  async #start(name: string, announcement: string, args: string[]): Promise<Server> {
    const child = this.#children.start(name, args);
    const address = await child.find(new RegExp(`${announcement} .*?(http://127\\.0\\.0\\.1:\\d+)`));
    return { child, address };
  }

  #writeConfig(name: string, lines: string[]): string {
    const path = join(this.directory, name);
    writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });
    return path;
  }
}
