/**
 * What all commands share: how they end.
 *
 * @module
 */
import process from "node:process";
import { ConfigurationError, EventStorageError } from "../errors.ts";

/** Exit codes: all went well; it failed while running; it was called or configured wrongly. */
const FINE = 0;
const FAILED = 1;
const MISUSED = 2;

/**
 * Runs a command and ends the process: 0 when `main` resolves, 2 when the command line, the
 * configuration or the queue's file cannot be used, 1 when it fails otherwise. People see one line,
 * not a stack.
 */
export async function runCommand(name: string, main: () => Promise<void>): Promise<never> {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : error}\n`);
    if (isUsageError(error)) process.stderr.write(`Try ${name} --help.\n`);
    return process.exit(isMisuse(error) ? MISUSED : FAILED);
  }
  return process.exit(FINE);
}

/** The one configuration file of a command line. */
export function onlyFile(positionals: readonly string[]): string {
  const [file, ...rest] = positionals;
  if (file === undefined) throw new UsageError("no configuration file: name one, such as config.ini.");
  if (rest.length > 0)
    throw new UsageError(`one configuration file, please, not ${positionals.join(" and ")}.`);
  return file;
}

/** A command line that is not understood. */
class UsageError extends Error {}

function isUsageError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return error instanceof UsageError || (typeof code === "string" && code.startsWith("ERR_PARSE_ARGS"));
}

function isMisuse(error: unknown): boolean {
  return isUsageError(error) || error instanceof ConfigurationError || error instanceof EventStorageError;
}

/** Aborts on the first SIGTERM or SIGINT; the second ends the process at once. */
export function stopOnSignals(): AbortSignal {
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(FAILED);
    stop.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return stop.signal;
}
