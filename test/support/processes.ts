import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { runtimeCommand } from "./runtimes.ts";

/** A program under the runtime of the tests, with its output by lines. Killed when the test ends. */
export interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  /** All of stdout so far, by lines. */
  readonly stdout: string[];
  /** All of stderr so far, by lines. */
  readonly stderr: string[];
  /** Resolves with the first line, of stdout or stderr, past or to come, that matches; rejects when the program ends without. */
  line(pattern: RegExp): Promise<string>;
  /** Sends a signal. Not `child.kill`: after that Deno reports the signal as the end, however the program ended. */
  signal(name: NodeJS.Signals): void;
  /** Resolves when the program has ended, with its exit code or signal. */
  readonly ended: Promise<number | string>;
}

/** How long a line is waited for, in milliseconds: less than any test may take, so that a failure says what was missing. */
const LINE_TIMEOUT_MS = 150_000;

/** Starts a program of this repository: `await using program = start("src/commands/publisher.ts", ["--help"]);`. */
export function start(file: string, args: readonly string[] = [], env: Record<string, string> = {}): Program {
  return startCommand(runtimeCommand(new URL(`../../${file}`, import.meta.url), args), { env });
}

/** Where a command runs, and with what environment besides ours. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Deno asks the network once a day for a newer one: through a proxy of a test, too. */
const QUIET = { DENO_NO_UPDATE_CHECK: "1" };

/** Starts any program: `await using program = startCommand(["deno", ["--version"]]);`. */
export function startCommand(
  [command, args]: [string, readonly string[]],
  { cwd = process.cwd(), env = {} }: CommandOptions = {},
): Program {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...QUIET, ...env }, stdio: "pipe" });
  const lines: Record<"stdout" | "stderr", string[]> = { stdout: [], stderr: [] };
  const waiting = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    createInterface({ input: child[name] }).on("line", (line) => {
      lines[name].push(line);
      for (const look of waiting) look();
    });
  }
  // "close" comes when both streams have ended too, also one that a test has destroyed.
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | string);

  const line = async (pattern: RegExp): Promise<string> => {
    const found = Promise.withResolvers<string>();
    const look = (): void => {
      const match = [...lines.stdout, ...lines.stderr].find((text) => pattern.test(text));
      if (match !== undefined) found.resolve(match);
    };
    waiting.add(look);
    look();
    const giveUp = setTimeout(() => {
      const waited = `${[command, ...args].join(" ")} did not print ${pattern} within ${LINE_TIMEOUT_MS / 1_000} s:`;
      found.reject(new Error(`${waited}\n${outputOf(lines)}`));
    }, LINE_TIMEOUT_MS);
    void ended.then((code) =>
      found.reject(
        new Error(
          `${[command, ...args].join(" ")} ended with ${code} before ${pattern}:\n${outputOf(lines)}`,
        ),
      ),
    );
    try {
      return await found.promise;
    } finally {
      clearTimeout(giveUp);
      waiting.delete(look);
    }
  };
  return {
    child,
    ...lines,
    line,
    signal: (name) => void process.kill(child.pid!, name),
    ended,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    },
  };
}

/** All that a program has printed so far. */
export function outputOf({ stdout, stderr }: Pick<Program, "stdout" | "stderr">): string {
  return [...stdout, ...stderr].join("\n");
}
