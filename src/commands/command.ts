/**
 * What all commands share: how they end.
 *
 * @module
 */
import process from "node:process";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import type { Logger } from "@logtape/logtape";
import { didYouMean } from "../config/did_you_mean.ts";
import { ConfigurationError, EventStorageError } from "../errors.ts";

/** Exit codes: all went well; it failed while running; it was called or configured wrongly. */
const FINE = 0;
const FAILED = 1;
const MISUSED = 2;

/**
 * Runs a command and ends the process: with the number that `main` resolves to, else 0; 2 when the command line, the
 * configuration or the queue's file cannot be used until somebody changes them, 1 when it fails otherwise, as on a
 * full disk: a service manager starts it again after 1, and not after 2. People see one line, not a stack.
 */
export async function runCommand(name: string, main: () => Promise<unknown>): Promise<never> {
  try {
    const code = await main();
    return process.exit(typeof code === "number" ? code : FINE);
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : error}\n`);
    if (isUsageError(error)) process.stderr.write(`Try ${name} --help.\n`);
    return process.exit(isMisuse(error) ? MISUSED : FAILED);
  }
}

/** A command line, read by `parseArgs`. */
type CommandLine<T extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true }>
>;

/**
 * Reads the command line, and says which option a misspelt one is like. An empty value, most often of a
 * shell variable that is not set, is rejected: as no value it would mean the default.
 */
export function parseCommandLine<T extends ParseArgsOptionsConfig>(
  options: T,
  args: readonly string[] = process.argv.slice(2),
): CommandLine<T> {
  const commandLine = readArguments(options, args);
  for (const [name, value] of Object.entries(commandLine.values))
    if (value === "") throw new UsageError(`--${name} is empty.`);
  return commandLine;
}

function readArguments<T extends ParseArgsOptionsConfig>(
  options: T,
  args: readonly string[],
): CommandLine<T> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    const [, unknown] = /^Unknown option '(-[^']*)'/.exec((error as Error).message) ?? [];
    if (unknown === undefined) throw error;
    const name = unknown.replace(/^-+/, "");
    const names = Object.keys(options);
    const meant = names.find((known) => name.length > 1 && known.startsWith(name)) ?? didYouMean(name, names);
    throw new UsageError(`no such option: ${unknown}${meant === undefined ? "" : `. Is --${meant} meant?`}`);
  }
}

/** Logs the warnings of a configuration as they are: braces in them are no placeholders. */
export function logWarnings(logger: Logger, warnings: readonly string[]): void {
  for (const warning of warnings) logger.warn(warning.replaceAll(/[{}]/g, "$&$&"));
}

/** What `--check` asks: a destination or a sink. */
interface Checked {
  checkRisks?(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** How a destination's or a sink's own settings put events at risk, or why that is not known. Closes it. */
export async function risksOf(checked: Checked): Promise<readonly string[]> {
  try {
    return (await checked.checkRisks?.()) ?? [];
  } catch (error) {
    return [`the settings of the stream are not known: ${error instanceof Error ? error.message : error}`];
  } finally {
    await checked.close();
  }
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
export class UsageError extends Error {}

function isUsageError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return error instanceof UsageError || (typeof code === "string" && code.startsWith("ERR_PARSE_ARGS"));
}

/** Codes of a file that may be usable in a while: the disk is full or fails, or somebody holds the lock. */
const PASSES = /^(?:SQLITE_(?:FULL|IOERR|BUSY|LOCKED|PROTOCOL)|ENOSPC|EDQUOT|EIO$)/;

function isMisuse(error: unknown): boolean {
  if (error instanceof EventStorageError) return !PASSES.test(error.code);
  return isUsageError(error) || error instanceof ConfigurationError;
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
