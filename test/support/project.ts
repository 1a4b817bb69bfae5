import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "./runtimes.ts";

/** The root of this repository. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** For tests that generate code. */
export const needsThriftCompiler: { readonly skip: string | false; readonly timeout: number } = {
  skip: spawnSync("thrift", ["--version"]).error !== undefined && "the Thrift compiler is not installed",
  timeout: 300_000,
};

/** A program that has ended. */
export interface Ended {
  readonly status: number | null;
  /** Both streams, stdout first. */
  readonly output: string;
}

/** Runs a program to its end under the runtime of the tests; `eventspool` is src/ for it, also where that is not Bun. */
export function run(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Ended {
  const [command, all] = runtimeCommand(file, args);
  const at = all.indexOf(file);
  return ended(spawn(command, [...all.slice(0, at), ...sourceOptions(), ...all.slice(at)], { env }));
}

/** The condition under which package.json names the sources. */
function sourceOptions(): string[] {
  if (process.versions.bun !== undefined) return [];
  const isDeno = process.versions.deno !== undefined;
  return ["--conditions=bun", ...(isDeno ? ["--no-check", "--node-modules-dir=manual"] : [])];
}

function spawn(
  command: string,
  args: readonly string[],
  { cwd, env = {} }: { cwd?: string; env?: NodeJS.ProcessEnv },
): SpawnSyncReturns<string> {
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env; // or Node's tests would report to ours
  return spawnSync(command, args, { encoding: "utf8", cwd, env: { ...inherited, ...env } });
}

function ended({ status, stdout, stderr }: SpawnSyncReturns<string>): Ended {
  return { status, output: stdout + stderr };
}

const SETTINGS = {
  compilerOptions: {
    target: "es2024",
    lib: ["es2024", "esnext.disposable"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    customConditions: ["bun"],
  },
  include: ["*.ts"],
};

/** What a project can use besides eventspool, where it is installed here. */
const LINKED = [
  "thrift",
  "valibot",
  "zod",
  "hono",
  "@hono/node-server",
  "better-sqlite3",
  "@opentelemetry/api",
]
  .concat(["@nats-io/jetstream", "@nats-io/transport-node"])
  .concat(["@types/thrift", "@types/node", "@types/better-sqlite3"])
  .filter((name) => existsSync(join(ROOT, "node_modules", name)));

/** An ESM project in a directory of its own that depends on eventspool, and can use what is installed here. */
export class Project implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "eventspool-project-"));

  /** @param files texts by their names */
  constructor(files: Readonly<Record<string, string>>) {
    this.link("eventspool", ROOT);
    for (const name of LINKED) this.link(name, join(ROOT, "node_modules", name));
    const dependencies = Object.fromEntries(["eventspool", ...LINKED].map((name) => [name, "*"]));
    this.write("package.json", JSON.stringify({ type: "module", dependencies }));
    this.write("tsconfig.json", JSON.stringify(SETTINGS));
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }

  /** What TypeScript says of it. */
  check(): Ended {
    const tsc = join(ROOT, "node_modules/typescript/lib/tsc.js");
    const [command, args] = runtimeCommand(tsc, ["-p", this.path]);
    return ended(spawn(command, args, {}));
  }

  /** Runs one of its programs. */
  run(name: string, env: NodeJS.ProcessEnv = {}): Ended {
    return run(join(this.path, name), [], env);
  }

  /** Runs all of its `*.test.ts` under the runtime's own test command. */
  test(): Ended {
    const files = readdirSync(this.path).filter((name) => name.endsWith(".test.ts"));
    const command = process.versions.bun !== undefined ? ["test", "--timeout=60000"] : ["--test"];
    const args = process.versions.deno === undefined ? command : ["test", "-A"];
    const all = [...args, ...sourceOptions(), ...files.map((name) => `./${name}`)];
    return ended(spawn(process.execPath, all, { cwd: this.path }));
  }

  /** Makes a package available to its programs. */
  link(name: string, target: string): void {
    const path = join(this.path, "node_modules", name);
    mkdirSync(join(path, ".."), { recursive: true });
    symlinkSync(target, path);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}
