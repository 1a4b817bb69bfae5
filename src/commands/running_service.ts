/**
 * What a publisher and a collector have in common as they run: how they start, what `--check` examines in addition to the
 * configuration (whether a start would get what it needs; it changes nothing), and notifying systemd.
 */
import { spawn } from "node:child_process";
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { request } from "node:http";
import { dirname } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { getLogger } from "@logtape/logtape";
import type { ListenAddress } from "../config/parsers.ts";
import { ConfigurationError } from "../errors.ts";
import { codeOrMessage } from "../file_error.ts";
import { countOf, formatMode } from "../format.ts";
import { environmentVariable } from "../runtime.ts";
import { configureLogging } from "./logging.ts";
import { printError, printLines } from "./output.ts";
import type { Call } from "./queue/verb.ts";

const logger = getLogger(["eventspool", "systemd"]);

/** How long a server on a taken address has to answer, in milliseconds. */
const ANSWER_MS = 10_000;

/** How often an address is tried whose server is gone as soon as it is asked. */
const MAX_ATTEMPTS = 100;

/** What a publisher, a collector and a check answer to `GET /livez`. */
const ALIVE = '{"status":"ok"}';

/** What a publisher and a collector do with a configuration. */
interface Service<Config> {
  /** Looks at all that a start needs. */
  check(config: Config): Promise<{ readonly description: object; readonly warnings: readonly string[] }>;
  /** Runs until it is stopped. */
  run(): Promise<void>;
}

/** Runs a publisher or a collector, as `--check`, `--strict` and `--debug` say. */
export async function runService<Config extends { readonly warnings: readonly string[] }>(
  { values }: Call,
  config: Config,
  { check, run }: Service<Config>,
): Promise<number> {
  const { description, warnings } = values.check
    ? await check(config)
    : { description: undefined, warnings: config.warnings };
  if (values.strict) rejectWarnings(warnings);
  if (description !== undefined) {
    printLines(JSON.stringify(description, null, 2));
    return 0;
  }
  configureLogging({ debug: values.debug === true });
  await run();
  return 0;
}

/** With `--strict`. @throws {ConfigurationError} there are warnings, which it prints */
function rejectWarnings(warnings: readonly string[]): void {
  if (warnings.length === 0) return;
  for (const warning of warnings) printError(`warning: ${warning}`);
  throw new ConfigurationError(`${countOf(warnings.length, "warning")}, and with --strict that is an error.`);
}

/**
 * Checks that files of a directory can be read, written and created.
 *
 * @param key the setting that names it, for errors
 * @throws {ConfigurationError}
 */
export function checkDirectory(directory: string, key: string): void {
  const stats = statsOf(directory, key);
  if (!stats.isDirectory()) throw new ConfigurationError(`${directory} is not a directory.`, { key });
  checkAccess(directory, stats, { key, mode: constants.R_OK | constants.W_OK | constants.X_OK });
}

/** As {@link checkDirectory}; a directory that a start would create may be missing, but then its parent is checked. */
export function checkDefaultDirectory(directory: string, key: string): void {
  let existing = directory;
  while (statSync(existing, { throwIfNoEntry: false }) === undefined && dirname(existing) !== existing)
    existing = dirname(existing);
  checkDirectory(existing, key);
}

/** Checks that a file, if it exists, is a regular file that can be read and written. @throws {ConfigurationError} */
export function checkFile(path: string, key: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isFile()) throw new ConfigurationError(`${path} is not a regular file.`, { key });
  checkAccess(path, stats, { key, mode: constants.R_OK | constants.W_OK });
}

/**
 * Checks that a server can listen at an address. One of ours that already does so is fine: a check before a reload.
 *
 * @throws {ConfigurationError} the address is taken by another program, not permitted, or not of this machine
 */
export async function checkAddress(address: ListenAddress, key: string): Promise<void> {
  const { serveApp } = await import("../server/serve.ts");
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await serveApp({ fetch: () => new Response(ALIVE) }, address, { key })).close();
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
      if (code !== "EADDRINUSE") throw error;
      const answer = await askLivez(address);
      if (answer === ALIVE) return;
      // A server that is gone was another check.
      if (answer !== undefined || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** What a server answers to `GET /livez`: nothing if it does not in time; undefined if it closes the connection, or is gone. */
function askLivez(address: ListenAddress): Promise<string | undefined> {
  const where = "path" in address ? { socketPath: address.path } : { host: address.host, port: address.port };
  const asked = request({ ...where, path: "/livez", agent: false, timeout: ANSWER_MS });
  return new Promise((resolve) => {
    asked.on("response", (response) => void text(response).then(resolve, () => resolve(undefined)));
    asked.on("error", () => resolve(undefined));
    asked.on("timeout", () => {
      resolve("");
      asked.destroy();
    });
    asked.end();
  });
}

function statsOf(path: string, key: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const problem =
      code === "ENOENT" ? "does not exist: create it" : `cannot be used (${codeOrMessage(cause)})`;
    throw new ConfigurationError(`${path} ${problem}, or name another.`, { key }, { cause });
  }
}

function checkAccess(path: string, stats: Stats, { key, mode }: { key: string; mode: number }): void {
  try {
    accessSync(path, mode);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why =
      code === "EROFS"
        ? "its file system is read-only (EROFS)"
        : `owner uid ${stats.uid}, mode ${formatMode(stats.mode)}, this process's uid ${process.getuid?.() ?? "unknown"} (${codeOrMessage(cause)})`;
    throw new ConfigurationError(`cannot read and write ${path}: ${why}.`, { key }, { cause });
  }
}

/**
 * Sends a state such as `READY=1` (see sd_notify(3)) where `$NOTIFY_SOCKET` is set, and does nothing elsewhere. It runs
 * systemd-notify, since none of the three runtimes has unix datagram sockets: the unit needs `NotifyAccess=all`, and Deno `--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC`.
 */
export function notify(state: string): void {
  if (!environmentVariable("NOTIFY_SOCKET")) return;
  const child = spawn("systemd-notify", [state], { stdio: "ignore" });
  child.on("error", ({ message }) => {
    logger.error("Cannot notify systemd of {state}: {message}", { state, message });
  });
}

/** Notifies the watchdog, if the unit has one (`WatchdogSec=`), that this process is alive, until `signal` aborts. */
export function feedWatchdog(signal: AbortSignal): void {
  const everyMs = Number(environmentVariable("WATCHDOG_USEC") ?? 0) / 1_000 / 2; // half the time, as sd_watchdog_enabled(3) asks for
  if (!(everyMs > 0)) return;
  const timer = setInterval(() => notify("WATCHDOG=1"), everyMs);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
