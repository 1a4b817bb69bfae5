/**
 * Checks what npm and JSR would get: packs the package as `npm publish` does, looks at the tarball with publint
 * and attw, at the sources with knip, and lets Deno rehearse publishing to JSR. Says what each had to say, if
 * anything is wrong.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DENO } from "./runtimes.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const directory = mkdtempSync(join(tmpdir(), "eventspool-package-"));
const tarball = join(directory, "package.tgz");

/** Commands of Bun's, by what they check. The tarball is made first. */
const CHECKS: Readonly<Record<string, readonly string[]>> = {
  "package.json, deno.json and src/version.ts agree": ["scripts/sync_manifests.ts", "--check"],
  "the package is built and packed": ["pm", "pack", "--filename", tarball],
  "publint: exports and files fit each other": ["x", "publint", "run", "--strict", tarball],
  "attw: the types resolve as the code does": ["x", "attw", "--profile", "esm-only", tarball],
  "knip: nothing is unused or undeclared": ["x", "knip"],
  "deno publish --dry-run: JSR would take it": ["x", DENO, "publish", "--dry-run", "--allow-dirty"],
};

const failed = Object.entries(CHECKS).filter(([what, args]) => !passes(what, args));
rmSync(directory, { recursive: true });
process.exit(failed.length > 0 ? 1 : 0);

function passes(what: string, args: readonly string[]): boolean {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
  console.log(`${status === 0 ? "ok    " : "FAILED"}  ${what}`);
  if (status !== 0) console.log(`${stdout}${stderr}`);
  return status === 0;
}
