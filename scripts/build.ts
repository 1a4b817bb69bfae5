/**
 * `bun run build [DIRECTORY]`: builds the package into `dist/`: types with tsc, code with esbuild, which bundles the
 * modules into a few files that library and commands share. With these a command starts 1.2 times faster under Bun and
 * Node than with one file per module, and there is only one copy of each class.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import manifest from "../package.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const outdir = resolve(process.argv[2] ?? `${ROOT}dist`);

rmSync(outdir, { recursive: true, force: true });
const tsc = ["x", "tsc", "-p", "tsconfig.build.json", "--outDir", outdir];
const { status } = spawnSync(process.execPath, tsc, { cwd: ROOT, stdio: "inherit" });
if (status !== 0) process.exit(1);

const exported = Object.values(manifest.exports).map(({ bun }) => bun);
const commands = Object.values(manifest.bin).map((path) =>
  path.replace("./dist/", "./src/").replace(/js$/, "ts"),
);
await build({
  absWorkingDir: ROOT,
  entryPoints: [...exported, ...commands],
  outdir,
  outbase: "src",
  bundle: true,
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  format: "esm",
  platform: "node",
  packages: "external",
  target: "node22", // which has no `using`
  logLevel: "warning",
});
