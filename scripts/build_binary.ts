/**
 * `bun run build:binary [--target TARGET] [--outfile FILE]`: builds the publisher as one executable file that contains
 * Bun and SQLite, for machines without Bun and node_modules. The default target is this machine; for another one, Bun
 * downloads the runtime from npm.
 */
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The part of Bun that is used here. `@types/bun` would change Node's types everywhere else. */
declare const Bun: {
  build(options: object): Promise<unknown>;
};

/** The targets, with Bun's names for them. */
const TARGETS: Readonly<Record<string, string>> = {
  "linux-x64": "bun-linux-x64",
  "linux-arm64": "bun-linux-arm64",
  "linuxmusl-x64": "bun-linux-x64-musl",
  "linuxmusl-arm64": "bun-linux-arm64-musl",
  "darwin-x64": "bun-darwin-x64",
  "darwin-arm64": "bun-darwin-arm64",
  "win32-x64": "bun-windows-x64",
};

const ENTRY = fileURLToPath(new URL("../src/commands/publisher.ts", import.meta.url));
const OUTPUT_DIRECTORY = fileURLToPath(new URL("../binaries/", import.meta.url));

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { target: { type: "string" }, outfile: { type: "string" } } });
  const target = values.target ?? hostTarget();
  if (!(target in TARGETS)) {
    console.error(`No such target: ${target}. There are ${Object.keys(TARGETS).join(", ")}.`);
    process.exit(2);
  }
  const suffix = target.startsWith("win32") ? ".exe" : "";
  const file = resolve(values.outfile ?? `${OUTPUT_DIRECTORY}eventspool-publisher-${target}${suffix}`);
  mkdirSync(dirname(file), { recursive: true });
  await build(target, file);
  console.log(`${relative("", file)}  ${Math.round(statSync(file).size / 1e6)} MB`);
}

/** @throws {AggregateError} Bun cannot bundle or download something */
async function build(target: string, outfile: string): Promise<void> {
  await Bun.build({
    entrypoints: [ENTRY],
    minify: true,
    // A bunfig.toml or .env where the binary happens to be started is none of its business.
    compile: {
      target: TARGETS[target],
      outfile,
      autoloadBunfig: false,
      autoloadDotenv: false,
    },
  });
}

function hostTarget(): string {
  const { platform, arch } = process;
  const isMusl = platform === "linux" && readFileSync("/proc/self/maps", "latin1").includes("/ld-musl-");
  return `${isMusl ? "linuxmusl" : platform}-${arch}`;
}
