/** `bun run tarball [FILE]`: builds and packs the package, by default as eventspool.tgz. */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import manifest from "../package.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("..", import.meta.url));

if (import.meta.main) {
  const { status, stdout, stderr } = pack(resolve(process.argv[2] ?? `${ROOT}eventspool.tgz`));
  console.log(stdout + stderr);
  process.exit(status);
}

/** Packs the package in a temporary directory, so that several processes can do so at once. */
export function pack(tarball: string): SpawnSyncReturns<string> {
  const directory = mkdtempSync(join(tmpdir(), "eventspool-pack-"));
  try {
    for (const name of ["README.md", "CHANGELOG.md", "LICENSE", "schema.sql"])
      cpSync(join(ROOT, name), join(directory, name));
    writeFileSync(join(directory, "package.json"), `${JSON.stringify(publishedManifest(), null, 2)}\n`);
    const built = bun(["scripts/build.ts", join(directory, "dist")], ROOT);
    return built.status === 0 ? bun(["pm", "pack", "--quiet", "--filename", tarball], directory) : built;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The package.json without the parts that only work in a clone: scripts, and the sources for Bun. */
function publishedManifest(): object {
  const { private: _, scripts: __, devDependencies: ___, exports, ...published } = manifest;
  const built = Object.entries(exports).map(([name, { bun: _, ...conditions }]) => [name, conditions]);
  return { ...published, exports: Object.fromEntries(built) };
}

function bun(args: readonly string[], cwd: string): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
}
