/**
 * `bun run generate`: regenerates the committed files: the schema in src/, the parts of deno.json, tsconfig.build.json
 * and src/version.ts that come from package.json, and the tables of docs/configuration.md. `--check` changes nothing,
 * and fails if a file is stale.
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

const GENERATORS = ["generate_schema.ts", "sync_manifests.ts", "generate_configuration.ts"];

const options = process.argv.slice(2);
const failed = GENERATORS.filter((script) => !runs(`scripts/${script}`, ...options));
const isFormatted =
  options.includes("--check") || runs("x", "biome", "format", "--write", "deno.json", "tsconfig.build.json");
process.exit(failed.length === 0 && isFormatted ? 0 : 1);

function runs(...args: string[]): boolean {
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  return spawnSync(process.execPath, args, { cwd, stdio: "inherit" }).status === 0;
}
