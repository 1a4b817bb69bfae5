import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";

/** The result of a command. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
}

/**
 * A shell that runs one command after another, as in a terminal: variables stay, and `&` leaves a program running.
 * Disposing of it ends everything that it started.
 */
export class Terminal implements AsyncDisposable {
  readonly #shell: ChildProcess;
  readonly #lines: AsyncIterableIterator<string>;
  readonly #marker = `ended-${crypto.randomUUID()}`;
  #errors = "";

  constructor(options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv }) {
    // In a process group of its own, so that it can be ended with all that it started.
    this.#shell = spawn("sh", [], { ...options, detached: true, stdio: "pipe" });
    this.#shell.stderr!.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#lines = createInterface({ input: this.#shell.stdout! })[Symbol.asyncIterator]();
  }

  /** Everything written to stderr. */
  get errors(): string {
    return this.#errors;
  }

  /** Runs a command to its end, and returns its stdout. */
  async run(command: string): Promise<CommandResult> {
    this.#shell.stdin!.write(`${command}\nprintf '\\n%s %s\\n' ${this.#marker} $?\n`);
    const lines: string[] = [];
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done) throw new Error(`The shell ended at: ${command}\n${lines.join("\n")}\n${this.#errors}`);
      if (!value.startsWith(this.#marker)) lines.push(value);
      else return { status: Number(value.split(" ")[1]), stdout: lines.join("\n").trimEnd() };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#shell, "exit");
    process.kill(-this.#shell.pid!, "SIGKILL");
    await ended;
  }
}
