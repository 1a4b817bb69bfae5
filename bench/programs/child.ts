/** Programs that are measured from outside. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { cpuUsOf, maxRssMbOf } from "./proc.ts";

/** How much of a program's output is kept. */
const MAX_TEXT_CHARS = 10_000;

/** A running program with its CPU, memory and exit. */
export class Child implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#process = child;
  }

  /** Starts one of the project's commands, such as `cli/collector.ts`, under this runtime; resolves when it has logged a line like this. */
  static command(file: string, args: readonly string[], isReady: RegExp): Promise<Child> {
    const path = fileURLToPath(new URL(`../../src/${file}`, import.meta.url));
    return Child.start([process.execPath, path, ...args], isReady);
  }

  /** Starts a program; resolves when it has written a line like this on stderr. */
  static async start([program = "", ...args]: readonly string[], isReady: RegExp): Promise<Child> {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    const ready = Promise.withResolvers<void>();
    // Read to the end, because a program such as nats-server may die if nobody reads its pipe.
    child.stderr.on("data", (chunk) => {
      if (text.length < MAX_TEXT_CHARS) text += chunk;
      if (isReady.test(text)) ready.resolve();
    });
    child.on("exit", () => ready.reject(new Error(`Error: ${program} ended: ${text}`)));
    await ready.promise;
    return new Child(child);
  }

  /** Its CPU time so far, in microseconds; NaN where there is no /proc. */
  cpuUs(): number {
    return cpuUsOf(this.#process.pid);
  }

  /** Its memory at its highest, in MB; NaN where there is no /proc. */
  maxRssMb(): number {
    return maxRssMbOf(this.#process.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
  }
}

/** A free port on loopback. */
export async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}
