import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { DENO, NODE } from "../../../scripts/runtimes.ts";
import { ROOT } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";

const onlyBun = {
  skip: process.versions.bun === undefined && "the bundles are made by Bun",
  timeout: 120_000,
};

/** A service that puts two events, and prints which library it uses. */
const SERVICE = join(ROOT, "test/support/programs/logging_producer.ts");

let directory = "";

before(() => {
  directory = mkdtempSync(join(tmpdir(), "eventspool-bundles-"));
});

after(() => rmSync(directory, { recursive: true }));

test("works in one file beside no node_modules, with the runtime's own SQLite", onlyBun, () => {
  const folder = bundles("alone");
  assert.equal(run([process.execPath, "service.mjs"], folder), "SQLite library: bun:sqlite\n");
  assert.equal(run([pathOf(NODE), "service.mjs"], folder), "SQLite library: node:sqlite\n");
  // Bun's CommonJS remembers where it was built, and finds the package there.
  assert.equal(run([pathOf(NODE), "service.cjs"], folder), "SQLite library: better-sqlite3\n");
  assert.equal(run([pathOf(DENO), "run", "-A", "service.mjs"], folder), "SQLite library: node:sqlite\n");
});

test("works in a file of `bun build --compile`", onlyBun, () => {
  const folder = makeFolder("compiled");
  build("--compile", "--outfile", join(folder, "service"));
  assert.equal(run([join(folder, "service")], folder), "SQLite library: bun:sqlite\n");
});

test("takes better-sqlite3 where it is installed beside a bundle", onlyBun, () => {
  const folder = bundles("beside");
  cpSync(join(ROOT, "node_modules/better-sqlite3"), join(folder, "node_modules/better-sqlite3"), COPY);
  for (const file of ["service.mjs", "service.cjs"])
    for (const runtime of [process.execPath, pathOf(NODE)])
      assert.equal(run([runtime, file], folder), "SQLite library: better-sqlite3\n", `${runtime} ${file}`);
  // Deno may not load an addon without --allow-ffi.
  const allowed = [`--allow-read=${folder}`, `--allow-write=${folder}`];
  const service = [pathOf(DENO), "run", "--no-prompt", ...allowed, "service.mjs"];
  assert.equal(run(service, folder), "SQLite library: node:sqlite\n");
});

test("works where the addon is missing, or is not one for this machine", onlyBun, () => {
  const folder = bundles("broken");
  const addons = join(folder, "node_modules/better-sqlite3/prebuilds");
  cpSync(join(ROOT, "node_modules/better-sqlite3"), join(addons, ".."), COPY);
  const runs = () =>
    [process.execPath, pathOf(NODE)].map((runtime) => run([runtime, "service.mjs"], folder)).join("");
  // Removed and not overwritten: what is installed may be hard links into the cache of the package manager.
  rmSync(addons, { recursive: true });
  assert.equal(runs(), "SQLite library: bun:sqlite\nSQLite library: node:sqlite\n");
  mkdirSync(addons);
  for (const target of [
    "linux-x64",
    "linux-arm64",
    "linuxmusl-x64",
    "linuxmusl-arm64",
    "darwin-x64",
    "darwin-arm64",
  ])
    writeFileSync(join(addons, `${target}.node`), "another machine's");
  assert.equal(runs(), "SQLite library: bun:sqlite\nSQLite library: node:sqlite\n");
});

/** Copies what links lead to. */
const COPY = { recursive: true, dereference: true };

function makeFolder(name: string): string {
  const folder = join(directory, name);
  mkdirSync(folder);
  return folder;
}

/** Makes a directory with the service as one file, of both kinds of modules. */
function bundles(name: string): string {
  const folder = makeFolder(name);
  build("--target=node", "--outfile", join(folder, "service.mjs"));
  build("--target=node", "--format=cjs", "--outfile", join(folder, "service.cjs"));
  return folder;
}

function build(...args: string[]): void {
  run([process.execPath, "build", SERVICE, ...args], ROOT);
}

/** Runs a command to its end with an empty queue directory as its last argument, and returns what it printed. */
function run([command = "", ...args]: string[], cwd: string): string {
  const isService = cwd !== ROOT;
  const queues = isService ? [mkdtempSync(join(cwd, "queues-"))] : [];
  const env = { ...process.env, EVENTSPOOL_SQLITE: "" };
  const { status, stdout, stderr } = spawnSync(command, [...args, ...queues], { cwd, env, encoding: "utf8" });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
  if (isService) assert.equal(stderr, "", "it warns of nothing");
  return stdout;
}

function pathOf(pinned: string): string {
  const runtime = getRuntime(pinned);
  if ("missing" in runtime) throw new Error(runtime.missing);
  return runtime.path;
}
