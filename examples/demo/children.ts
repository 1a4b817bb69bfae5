/**
 * The processes that the demo starts.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { execPath } from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** How many of the last lines of a failed child are shown. */
const SHOWN_LINES = 10;

/** A program in its own process. */
export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #output = new EventEmitter();
  /** Resolves with the exit code, or the signal that ended it. */
  readonly #ended: Promise<number | string>;
  #isToldToEnd = false;

  /** @param onFailure called when the child ends by itself */
  constructor(
    name: string,
    [command, ...args]: readonly [string, ...string[]],
    { env, onFailure }: { env: NodeJS.ProcessEnv; onFailure: (error: Error) => void },
  ) {
    this.name = name;
    this.#process = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.#note(line));
    }
    this.#ended = once(this.#process, "exit").then(([code, signal]) => code ?? signal);
    this.#ended.then((how) => this.#isToldToEnd || onFailure(this.#failure(how)), onFailure);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Whether {@link kill} or {@link stop} was called. */
  get isToldToEnd(): boolean {
    return this.#isToldToEnd;
  }

  /** Resolves with the group of `pattern` in a line that the child has written or will write. */
  async find(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.#lines.map((line) => pattern.exec(line)?.[1]).find((text) => text !== undefined);
      if (found !== undefined) return found;
      await once(this.#output, "line");
    }
  }

  /** Is called with each line that the child writes from now on. */
  onLine(listener: (line: string) => void): void {
    this.#output.on("line", listener);
  }

  /** Freezes the child until {@link resume}. */
  pause(): void {
    this.#process.kill("SIGSTOP");
  }

  resume(): void {
    this.#process.kill("SIGCONT");
  }

  /** Kills it (SIGKILL); resolves when it has ended. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends it with SIGTERM. Rejects if it fails. */
  async stop(): Promise<void> {
    const how = await this.#end("SIGTERM");
    if (how !== 0 && how !== "SIGTERM") throw this.#failure(how);
  }

  #end(signal: NodeJS.Signals): Promise<number | string> {
    this.#isToldToEnd = true;
    this.#process.kill(signal);
    return this.#ended;
  }

  #note(line: string): void {
    this.#lines.push(line);
    this.#output.emit("line", line);
  }

  #failure(how: number | string): Error {
    const last = this.#lines.slice(-SHOWN_LINES).map((line) => `  ${line}`);
    const kind = typeof how === "number" ? "exit code" : "signal";
    return new Error([`The ${this.name} ended with ${kind} ${how}. It said:`, ...last].join("\n"));
  }
}

/** All children. Disposing of it ends them. */
export class Children implements AsyncDisposable {
  readonly #children: Child[] = [];
  readonly #env: NodeJS.ProcessEnv;
  readonly #failed = Promise.withResolvers<never>();
  #isOver = false;

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env;
  }

  /** Rejects when a child ends by itself; never resolves. */
  get failure(): Promise<never> {
    return this.#failed.promise;
  }

  /** The children that should still run. */
  get running(): Child[] {
    return this.#children.filter(({ isToldToEnd }) => !isToldToEnd);
  }

  /** Starts a program of this repository. @param args its file, and its arguments */
  start(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
    return this.startCommand(name, [execPath, ...args], env);
  }

  /** Starts any program. */
  startCommand(name: string, command: readonly [string, ...string[]], env: NodeJS.ProcessEnv = {}): Child {
    if (this.#isOver) throw new Error(`The demo has ended: ${name} is not started.`);
    const all = { env: { ...this.#env, ...env }, onFailure: this.#failed.reject };
    const child = new Child(name, command, all);
    this.#children.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#children.map((child) => child.kill()));
  }
}
