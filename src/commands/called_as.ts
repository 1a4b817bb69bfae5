/**
 * How a command was called, so that its help, errors and hints can be pasted into the same shell.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, delimiter, isAbsolute, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { shellQuoted } from "../format.ts";
import type { RuntimeVersions } from "../runtime.ts";

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
