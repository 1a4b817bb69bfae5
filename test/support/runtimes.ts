import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The command and arguments that run a TypeScript file under the runtime the tests run under. */
export function runtimeCommand(file: string | URL, args: readonly string[] = []): [string, string[]] {
  const path = file instanceof URL ? fileURLToPath(file) : file;
  const run = process.versions.deno === undefined ? [] : ["run", "-A"];
  return [process.execPath, [...run, path, ...args]];
}

/** The executable of a runtime, or why there is none, for `skip`. */
export type FoundRuntime = { readonly path: string } | { readonly missing: string };

/** Finds Bun: the one that runs the tests, or `bun run test`, or is on the path. */
export function findBun(): FoundRuntime {
  const { npm_execpath: runner = "" } = process.env; // npm's own, where npm runs the tests
  const outside = basename(runner).startsWith("bun") ? runner : "bun";
  return ask(process.versions.bun === undefined ? outside : process.execPath, ["-e", PRINT_PATH]);
}

/**
 * Gets a runtime from npm, pinned, as `scripts/test.ts` does: `getRuntime("deno@2.9.6")`. It may be in Bun's
 * cache already; if not, it takes the network.
 */
export function getRuntime(pinned: string): FoundRuntime {
  const bun = findBun();
  if ("missing" in bun) return bun;
  const run = pinned.startsWith("deno") ? ["eval"] : ["-e"];
  return ask(bun.path, ["x", pinned, ...run, PRINT_PATH]);
}

/** The executable of a runtime that {@link getRuntime} gets. @throws there is none */
export function runtimePath(pinned: string): string {
  const runtime = getRuntime(pinned);
  if ("missing" in runtime) throw new Error(runtime.missing);
  return runtime.path;
}

/** Runs under all of them. */
const PRINT_PATH = "console.log(globalThis.Deno?.execPath() ?? process.execPath)";

function ask(command: string, args: readonly string[]): FoundRuntime {
  // Elsewhere than in the repository, whose own packages are not meant.
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: tmpdir(), encoding: "utf8" });
  const path = stdout?.trim().split("\n").at(-1);
  if (status === 0 && path) return { path };
  return { missing: `${[command, ...args.slice(0, 2)].join(" ")} failed: ${error?.message ?? stderr}` };
}
