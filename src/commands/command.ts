/**
 * What all commands share: how a command line is read, what `--help` prints, how a command ends, and how it was called,
 * so that its help, errors and hints can be pasted into the same shell.
 */
import { existsSync } from "node:fs";
import { basename, delimiter, isAbsolute, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import type { Logger } from "@logtape/logtape";
import { ConfigurationError, EventStorageError } from "../errors.ts";
import { didYouMean, shellQuoted } from "../format.ts";
import type { RuntimeVersions } from "../runtime.ts";
import { VERSION } from "../version.ts";
import { printError, printLines, standardOutput } from "./output.ts";
import { type Call, type Option, type Options, UsageError, type Verb } from "./queue/verb.ts";

/**
 * How admin routes are served. 40 connections are enough for 32 live pages and some probes, and leave a publisher that
 * may open 128 files what it needs to deliver. Only our user may connect to a unix socket: its requests are trusted.
 */
export const ADMIN_LISTENER = { maxConnections: 40, socketMode: 0o600 } as const;

/** Exit codes: done; failed while running; called or configured wrongly. */
const DONE = 0;
const FAILED = 1;
const MISUSED = 2;

/**
 * Runs a command and ends the process: with the number that `main` resolves to, else 0; 2 when the command line, the
 * configuration or the queue's file cannot be used until somebody changes it, 1 when it fails otherwise, as on a full
 * disk: a service manager restarts it after 1, and not after 2. An error is one line, without a stack.
 *
 * @param name the command as it was called, such as `bun run queue`
 */
export async function runCommand(name: string, main: () => Promise<unknown>): Promise<never> {
  try {
    const code = await main();
    return process.exit(typeof code === "number" ? code : DONE);
  } catch (error) {
    printError(`${name}: ${error instanceof Error ? error.message : error}`);
    if (error instanceof UsageError) printError(`Help: ${name} --help`);
    return process.exit(isMisuse(error) ? MISUSED : FAILED);
  }
}

/** Reads the command line of a verb, and runs it. @param name the verb as it was called: `eventspool dead list` */
export async function runVerb(
  name: string,
  verb: Verb,
  { program, args }: { program: string; args: readonly string[] },
): Promise<never> {
  return runCommand(name, async () => {
    const output = standardOutput();
    if (args.some((arg) => arg === "--help" || arg === "-h")) return printLines(helpOf(name, verb));
    const { values, positionals } = parseCommandLine(verb.options, args);
    if (values.version) return output.line(VERSION);
    const [unexpected] = positionals;
    if (verb.args === undefined && unexpected !== undefined)
      throw new UsageError(`unexpected argument ${JSON.stringify(unexpected)}${queueHint(verb)}.`);
    if (values.file !== undefined && values.directory !== undefined)
      throw new UsageError("--file and --directory name two locations: pass one of them.");
    const call: Call = {
      queue: String(values["queue-name"] ?? "main"),
      directory: values.directory as string | undefined,
      file: values.file as string | undefined,
      values,
      args: positionals,
      stop: stopOnSignals(),
      output,
      program,
    };
    return verb.run(call);
  });
}

function queueHint({ options }: Verb): string {
  return "queue-name" in options ? ": name a queue with --queue-name" : "";
}

/** A command line, read by `parseArgs`. */
interface CommandLine {
  readonly values: Call["values"];
  readonly positionals: readonly string[];
}

/**
 * Reads a command line. An empty value, most often of a shell variable that is not set, is rejected: taken as no value
 * it would mean the default.
 *
 * @throws {UsageError} it says which option a misspelt one is like, and what an option without a value lacks
 */
export function parseCommandLine(options: Options, args: readonly string[]): CommandLine {
  const { values, positionals } = readArguments(options, args);
  for (const [name, value] of Object.entries(values))
    if (value === "") throw new UsageError(`--${name} is empty${exampleOf(name, options[name])}`);
  return { values, positionals };
}

function readArguments(options: Options, args: readonly string[]): CommandLine {
  try {
    return parseArgs({ args, options: parseConfig(options), allowPositionals: true }) as CommandLine;
  } catch (error) {
    throw new UsageError(describeParseError(error as Error, options), { cause: error });
  }
}

function parseConfig(options: Options): ParseArgsOptionsConfig {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short, default: fallback }]) => [
      name,
      { type, ...(short && { short }), ...(fallback && { default: fallback }) },
    ]),
  );
}

/** The three runtimes word these errors alike, since the code is Node's. */
function describeParseError({ message }: Error, options: Options): string {
  const [, unknown] = /^Unknown option '(-[^']*)'/.exec(message) ?? [];
  if (unknown !== undefined) {
    const meant = suggestion(unknown.replace(/^-+/, ""), Object.keys(options));
    return `unknown option ${unknown}${meant === undefined ? "." : `: did you mean --${meant}?`}`;
  }
  const [, short, long] = /^Option '(?:-(\w)(?:, )?)?(?:--([\w-]+))?/.exec(message) ?? [];
  const name = long ?? Object.keys(options).find((key) => options[key]?.short === short);
  const option = name === undefined ? undefined : options[name];
  if (name === undefined || option === undefined) return message;
  return option.type === "boolean"
    ? `--${name} takes no value.`
    : `--${name} needs a value${exampleOf(name, option)}`;
}

function exampleOf(name: string, option: Option | undefined): string {
  const example = option?.example ?? option?.default;
  return example === undefined ? "." : `, for example --${name} ${example}`;
}

/** The one that a word most likely stands for: it begins so, or is spelt alike. */
export function suggestion(word: string, known: readonly string[]): string | undefined {
  return (
    (word.length > 1 ? known.find((name) => name.startsWith(word)) : undefined) ?? didYouMean(word, known)
  );
}

/** The text of a verb's `--help`. @param name the verb as it was called */
export function helpOf(name: string, verb: Verb): string {
  const { summary, args, details, json, fails, examples } = verb;
  return [
    `${name}: ${summary}`,
    `Usage: ${name}${args === undefined ? "" : ` ${args}`} [options]`,
    ...(details === undefined ? [] : [wrapped(details)]),
    `Options:\n${optionLines({ ...verb.options, ...HELP }).join("\n")}`,
    ...(json === undefined ? [] : [wrapped(`--json prints ${json}`)]),
    `Examples:\n${examples.map((example) => `  ${name} ${example}`.trimEnd()).join("\n")}`,
    wrapped(exitCodes(fails)),
  ].join("\n\n");
}

const HELP: Options = { help: { type: "boolean", short: "h", help: "print this help" } };

/** The sentence about exit codes. */
export function exitCodes(fails?: string): string {
  const failed = fails === undefined ? "failed while running" : `failed while running, or ${fails}`;
  return `Exit codes: 0 done; 1 ${failed}; 2 wrong usage or configuration.`;
}

/** One line for each option, or more where its text is long. */
export function optionLines(options: Options): string[] {
  const rows = Object.entries(options).map(([name, { short, value, help }]): [string, string] => [
    `  ${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  ]);
  const width = Math.max(...rows.map(([flags]) => flags.length)) + 2;
  return rows.map(([flags, help]) => flags.padEnd(width) + wrapped(help, width));
}

const LINE_CHARS = 90;

/** A text in lines of at most {@link LINE_CHARS}; all but the first begin with `indent` spaces. Line ends in it stay. */
export function wrapped(text: string, indent: number = 0): string {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && indent + line.length + 1 + word.length > LINE_CHARS) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines.join(`\n${" ".repeat(indent)}`);
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

/** How a destination's or a sink's own settings put events at risk, or why that is unknown. Closes it. */
export async function risksOf(checked: Checked): Promise<readonly string[]> {
  try {
    return (await checked.checkRisks?.()) ?? [];
  } catch (error) {
    return [`the server's settings are unknown: ${error instanceof Error ? error.message : error}`];
  } finally {
    await checked.close();
  }
}

/** The one configuration file of a command line. */
export function onlyFile(args: readonly string[]): string {
  const [file, ...rest] = args;
  if (file === undefined) throw new UsageError("no configuration file: name one, such as config.ini.");
  if (rest.length > 0) throw new UsageError(`expected one configuration file, got ${args.join(" and ")}.`);
  return file;
}

/** Codes of a file that may be usable in a while: the disk is full or fails, or another process holds the lock. */
const PASSES = /^(?:SQLITE_(?:FULL|IOERR|BUSY|LOCKED|PROTOCOL)|ENOSPC|EDQUOT|EIO$)/;

function isMisuse(error: unknown): boolean {
  if (error instanceof EventStorageError) return !PASSES.test(error.code);
  return error instanceof UsageError || error instanceof ConfigurationError;
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

/** A command of the package. */
export interface Program {
  /** The name under which it is installed, such as `eventspool`. */
  readonly bin: string;
  /** Its script in package.json, and its file in `src/commands`, such as `queue`. */
  readonly script: string;
}

/** What a process knows about how it was started. */
export interface Started {
  readonly argv: readonly string[];
  readonly execPath: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly versions: Pick<RuntimeVersions, "bun" | "deno">;
}

/** The command as it was called, as far as the process can know: `eventspool`, `npx eventspool`, `bun run queue`. */
export function calledAs(program: Program, started: Started = thisProcess()): string {
  const { argv, execPath, versions } = started;
  const entry = argv[1] ?? "";
  if (/^(?:\/\$bunfs\/|[A-Z]:[\\/]~BUN)/.test(entry)) return shownPath(execPath, started); // compiled
  const name = asScript(program, started) ?? asPackage(program, started);
  if (name !== undefined) return name;
  if (isInstalled(entry, program)) {
    if (isOnPath(program.bin, started)) return program.bin;
    if (versions.deno !== undefined) return `deno run -A npm:eventspool/${program.bin}`;
    return `${versions.bun === undefined ? "npx" : "bunx --bun"} ${program.bin}`;
  }
  const runner = versions.bun !== undefined ? "bun" : versions.deno !== undefined ? "deno run -A" : "node";
  return `${runner} ${shownPath(entry, started)}`;
}

/** `bun run queue`: package managers name the script that they run, and that is ours. */
function asScript({ script }: Program, { argv, env }: Started): string | undefined {
  const file = `commands/${script}.ts`;
  const isOurs = env.npm_lifecycle_script?.endsWith(file) && argv[1]?.replaceAll(sep, "/").endsWith(file);
  if (!isOurs || env.npm_lifecycle_event !== script) return undefined;
  const [manager = "npm"] = (env.npm_config_user_agent ?? "").split("/");
  return `${manager} run ${script}${manager === "npm" ? " --" : ""}`;
}

/** `npx eventspool`, `bunx --bun eventspool` */
function asPackage({ bin }: Program, { env, versions }: Started): string | undefined {
  const [called] = (env.npm_lifecycle_script ?? "").replaceAll("'", "").split(" ");
  if (env.npm_command !== "exec" || called !== bin) return undefined;
  if (env.npm_lifecycle_event !== "bunx") return `npx ${bin}`;
  return `bunx ${versions.bun === undefined ? "" : "--bun "}${bin}`;
}

/** Node names the link in node_modules/.bin, Bun and Deno the file that it leads to. */
function isInstalled(entry: string, { bin }: Program): boolean {
  return basename(entry) === bin || /[\\/]node_modules[\\/]eventspool[\\/]/.test(entry);
}

/** Whether a shell finds it; scripts of a package manager also find what is in node_modules/.bin. */
function isOnPath(bin: string, { env }: Started): boolean {
  const directories = (env.PATH ?? "")
    .split(delimiter)
    .filter((directory) => !/node_modules/.test(directory));
  return directories.some((directory) => isAbsolute(directory) && existsSync(join(directory, bin)));
}

/** A path as one would type it in the working directory. */
function shownPath(path: string, { cwd }: Started): string {
  const near = relative(cwd, resolve(cwd, path));
  const isNear = near !== "" && !near.startsWith("..") && !isAbsolute(near);
  return shellQuoted(isNear ? (near.includes(sep) ? near : `./${near}`) : path);
}

function thisProcess(): Started {
  const { argv, execPath } = process;
  const versions: RuntimeVersions = process.versions;
  // Deno would ask for the permission to read variables, and none of them is set by it.
  const env = versions.deno === undefined ? process.env : {};
  return { argv, execPath, cwd: workingDirectory(), env, versions };
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return sep; // it was removed
  }
}
