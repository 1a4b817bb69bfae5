/** A queue with a publisher and a collector, each in its own process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { EventQueue } from "../../src/mod.ts";
import { cpuUsOf, maxRssMbOf } from "./proc.ts";

/** The counts of the collector. */
export interface Counts {
  readonly events: number;
  readonly requests: number;
  readonly lastAtMs: number;
  readonly maxInFlight: number;
}

/** Options of a rig. */
export interface RigOptions {
  /** Where its files may be. */
  readonly directory: string;
  /** How long the collector waits before it answers, in milliseconds. */
  readonly delayMs?: number;
  /** Keys of the publisher's configuration. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** Everything from the queue to the collector. At first only the collector runs. */
export class Rig implements AsyncDisposable {
  readonly directory: string;
  readonly queue: EventQueue<Uint8Array>;
  readonly #collector: ChildProcess;
  readonly #port: number;
  readonly #settings: Readonly<Record<string, string | number>>;
  #publisher: ChildProcess | undefined;

  static async open({ directory, delayMs = 0, settings = {} }: RigOptions): Promise<Rig> {
    const collector = start("collector.ts", [String(delayMs)]);
    const [line] = (await once(collector.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    return new Rig(mkdtempSync(join(directory, "rig-")), collector, { port: Number(line), settings });
  }

  private constructor(
    directory: string,
    collector: ChildProcess,
    { port, settings }: { port: number; settings: Readonly<Record<string, string | number>> },
  ) {
    this.directory = directory;
    this.#collector = collector;
    this.#port = port;
    this.#settings = settings;
    this.queue = new EventQueue<Uint8Array>("main", (body) => body, { directory, maxEvents: 1e9 });
  }

  /** Starts the publisher; resolves with its first line of log. */
  async publish(): Promise<void> {
    const file = join(this.directory, "publisher.ini");
    const collector = {
      "collector.scheme": "http",
      "collector.hostname": `127.0.0.1:${this.#port}`,
      "collector.version": "2j",
      "key.name": "bench",
      "key.secret": "YmVuY2g=",
    };
    const settings = {
      "admin.listen": "off",
      ...(this.#settings.destination === undefined && collector),
      ...this.#settings,
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(file, `[event-publisher:main]\n${lines.join("")}`, { mode: 0o600 });
    this.#publisher = start("../../src/commands/publisher.ts", ["--directory", this.directory, file]);
    this.#publisher.stdout?.resume();
    await Promise.race([
      once(this.#publisher.stdout as NodeJS.ReadableStream, "data"),
      once(this.#publisher.stderr as NodeJS.ReadableStream, "data"),
    ]);
    this.#publisher.stderr?.resume();
  }

  /** What the collector has counted so far. */
  async counts(): Promise<Counts> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/`);
    return (await answer.json()) as Counts;
  }

  /** The publisher's CPU time so far, in microseconds; NaN where there is no /proc. */
  cpuUs(): number {
    return cpuUsOf(this.#publisher?.pid);
  }

  /** The publisher's memory at its highest, in MB; NaN where there is no /proc. */
  maxRssMb(): number {
    return maxRssMbOf(this.#publisher?.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#publisher, this.#collector]) {
      if (child === undefined || child.exitCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    this.queue.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Starts a program under the current runtime. */
export function start(file: string, args: readonly string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const stdio = ["ignore", "pipe", file.endsWith("publisher.ts") ? "pipe" : "inherit"] as const;
  return spawn(process.execPath, [path, ...args], { stdio: [...stdio] });
}
