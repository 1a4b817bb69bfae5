import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const COPIED = ["package.json", "tsconfig.json", "tsconfig.build.json", "src", "schema.sql"].concat([
  "README.md",
  "CHANGELOG.md",
  "LICENSE",
]);

/** Builds and packs the package as `npm publish` does, in a copy, because other checks use `dist/` at the same time. */
export function pack(tarball: string): SpawnSyncReturns<string> {
  const copy = mkdtempSync(join(tmpdir(), "eventspool-pack-"));
  try {
    for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
    return spawnSync(process.execPath, ["pm", "pack", "--filename", tarball], {
      cwd: copy,
      encoding: "utf8",
    });
  } finally {
    rmSync(copy, { recursive: true });
  }
}
