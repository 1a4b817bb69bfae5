import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process, { stderr, stdout } from "node:process";
import { parseArgs } from "node:util";

const EXIT_FAILED = 1;
const EXIT_MISUSED = 2;
const EXIT_INTERRUPTED = 130;

/** Ctrl-C, or the reader of the output is gone. */
class InterruptedError extends Error {}

/** The demo cannot start: wrong arguments, or something is not installed. */
export class MisuseError extends Error {}

/**
 * Runs a demo, and ends the process: 0 on success, 1 on a failure, 2 if it could not start, 130 if it was
 * interrupted.
 *
 * @param demo is raced with `interrupted`, which rejects
 */
export async function runDemo(demo: (interrupted: Promise<never>) => Promise<void>): Promise<never> {
  try {
    await demo(interruption());
  } catch (error) {
    stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
    process.exit(exitCode(error));
  }
  return process.exit(0);
}

function exitCode(error: unknown): number {
  if (error instanceof MisuseError) return EXIT_MISUSED;
  return error instanceof InterruptedError ? EXIT_INTERRUPTED : EXIT_FAILED;
}

/** Rejects when the demo should end early. */
function interruption(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {}); // it may reject before anything awaits it
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => reject(new InterruptedError(`Interrupted by ${signal}.`)));
  }
  stdout.on("error", () => reject(new InterruptedError("Nobody reads the output any more.")));
  return promise;
}

/** A directory that is removed at the end. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "eventspool-demo-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * Reads the only option of a demo, its size.
 *
 * @throws {MisuseError} it is not an integer within the bounds
 */
export function readCount(
  name: string,
  { standard, min, max }: { readonly standard: number; readonly min: number; readonly max: number },
): number {
  const text = readOption(name) ?? String(standard);
  const count = Number(text);
  if (Number.isInteger(count) && count >= min && count <= max) return count;
  throw new MisuseError(`--${name} takes an integer from ${min} to ${max}, not "${text}".`);
}

function readOption(name: string): string | undefined {
  try {
    return parseArgs({ options: { [name]: { type: "string" } } }).values[name] as string | undefined;
  } catch (cause) {
    throw new MisuseError(`${(cause as Error).message}. There is --${name}.`, { cause });
  }
}

/** Such as `1.5 s`. */
export function inSeconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}
