/**
 * Checks what npm and JSR would get: packs the package as `npm publish` does, runs publint and attw on the tarball and
 * knip on the sources, checks the docs of all exports, and lets Deno rehearse publishing to JSR. Prints the output of
 * each check that fails.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { pack } from "./pack.ts";
import { DENO } from "./runtimes.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const directory = mkdtempSync(join(tmpdir(), "eventspool-package-"));
const tarball = join(directory, "package.tgz");

/** Types of other packages that our types name but do not export. */
const FOREIGN = /references private type '(?:Hono|MiddlewareHandler|StandardSchemaV1)'/;

/** The checks by name. The tarball is made first. */
const CHECKS: Readonly<Record<string, () => SpawnSyncReturns<string>>> = {
  "package.json, deno.json, tsconfig.build.json and src/version.ts agree": () =>
    bun("scripts/sync_manifests.ts", "--check"),
  "the package is built and packed": () => pack(tarball),
  "publint: exports and files fit each other": () => bun("x", "publint", "run", "--strict", tarball),
  "attw: the types resolve as the code does": () => bun("x", "attw", "--profile", "esm-only", tarball),
  "knip: nothing is unused or undeclared": () => bun("x", "knip"),
  "deno doc --lint: each export has a docstring, and names only types that are exported": lintDocs,
  "deno publish --dry-run: JSR would take it": () => bun("x", DENO, "publish", "--dry-run", "--allow-dirty"),
};

const failed = Object.entries(CHECKS).filter(([what, check]) => !passes(what, check()));
rmSync(directory, { recursive: true });
process.exit(failed.length > 0 ? 1 : 0);

function bun(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
}

function lintDocs(): SpawnSyncReturns<string> {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")) as {
    exports: Record<string, string>;
  };
  const result = spawnSync(process.execPath, ["x", DENO, "doc", "--lint", ...Object.values(exports)], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  const problems = result.stderr.split(/^(?=error\[)/m).filter((text) => text.startsWith("error["));
  const ours = problems.filter((problem) => !FOREIGN.test(problem));
  // It ends with 1 for the foreign ones, too; without any, something else went wrong.
  const isFine = ours.length === 0 && (problems.length > 0 || result.status === 0);
  return { ...result, status: isFine ? 0 : 1, stdout: "", stderr: ours.join("") || result.stderr };
}

function passes(what: string, { status, stdout, stderr }: SpawnSyncReturns<string>): boolean {
  console.log(`${status === 0 ? "ok    " : "FAILED"}  ${what}`);
  if (status !== 0) console.log(`${stdout}${stderr}`);
  return status === 0;
}
