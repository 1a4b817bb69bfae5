import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pack } from "../../../scripts/pack.ts";
import { DENO, NODE, OLDEST_NODE } from "../../../scripts/runtimes.ts";
import { SQLITE_REPORTER } from "../../support/installs.ts";
import { ROOT } from "../../support/project.ts";
import { runtimePath } from "../../support/runtimes.ts";

const onlyBun = {
  skip: process.versions.bun === undefined && "the bundles are made by Bun",
  timeout: 600_000,
};

/** A project that has the package installed, where the bundles are made. */
let project = "";

before(() => {
  if (onlyBun.skip) return;
  project = mkdtempSync(join(tmpdir(), "eventspool-bundles-"));
  const tarball = join(project, "eventspool.tgz");
  const { status, stdout, stderr } = pack(tarball);
  assert.equal(status, 0, stdout + stderr);
  run(["tar", "xzf", tarball], project);
  mkdirSync(join(project, "node_modules/@logtape"), { recursive: true });
  symlinkSync(join(project, "package"), join(project, "node_modules/eventspool"));
  for (const name of ["@logtape/logtape", "better-sqlite3"])
    symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name));
  writeFileSync(join(project, "service.mjs"), SQLITE_REPORTER);
});

after(() => {
  for (const folder of [project, ...folders].filter(Boolean)) rmSync(folder, { recursive: true });
});

test("works in one file beside no node_modules, with the runtime's own SQLite", onlyBun, () => {
  const folder = bundles("alone");
  assert.equal(report([process.execPath, "service.mjs"], folder), "SQLite library: bun:sqlite\n");
  for (const node of [NODE, OLDEST_NODE])
    assert.equal(report([runtimePath(node), "service.mjs"], folder), "SQLite library: node:sqlite\n");
  // Bun's CommonJS remembers where it was built, and finds the package there.
  assert.equal(report([runtimePath(NODE), "service.cjs"], folder), "SQLite library: better-sqlite3\n");
  assert.equal(
    report([runtimePath(DENO), "run", "-A", "service.mjs"], folder),
    "SQLite library: node:sqlite\n",
  );
});

test("works in one file of esbuild, ESM or CommonJS, minified", onlyBun, () => {
  const folder = makeFolder("esbuild");
  for (const [format, file] of [
    ["esm", "service.mjs"],
    ["cjs", "service.cjs"],
  ] as const) {
    const options = ["--bundle", "--minify", "--platform=node", `--format=${format}`, "--log-level=error"];
    const esbuild = join(ROOT, "node_modules/esbuild/bin/esbuild");
    run([process.execPath, esbuild, "service.mjs", ...options, `--outfile=${join(folder, file)}`], project);
    assert.equal(report([runtimePath(NODE), file], folder), "SQLite library: node:sqlite\n", file);
    assert.equal(report([process.execPath, file], folder), "SQLite library: bun:sqlite\n", file);
  }
});

test("works in a file of `bun build --compile`", onlyBun, () => {
  const folder = makeFolder("compiled");
  build("--compile", "--outfile", join(folder, "service"));
  assert.equal(report([join(folder, "service")], folder), "SQLite library: bun:sqlite\n");
});

test("takes better-sqlite3 where it is installed beside a bundle", onlyBun, () => {
  const folder = bundles("beside");
  cpSync(join(ROOT, "node_modules/better-sqlite3"), join(folder, "node_modules/better-sqlite3"), COPY);
  for (const file of ["service.mjs", "service.cjs"])
    for (const runtime of [process.execPath, runtimePath(NODE)])
      assert.equal(report([runtime, file], folder), "SQLite library: better-sqlite3\n", `${runtime} ${file}`);
  // Deno may not load an addon without --allow-ffi.
  const allowed = [`--allow-read=${folder}`, `--allow-write=${folder}`];
  const service = [runtimePath(DENO), "run", "--no-prompt", ...allowed, "service.mjs"];
  assert.equal(report(service, folder), "SQLite library: node:sqlite\n");
});

test("works where the addon is missing, or is not one for this machine", onlyBun, () => {
  const folder = bundles("broken");
  const addons = join(folder, "node_modules/better-sqlite3/prebuilds");
  cpSync(join(ROOT, "node_modules/better-sqlite3"), join(addons, ".."), COPY);
  const runs = () =>
    [process.execPath, runtimePath(NODE)].map((runtime) => report([runtime, "service.mjs"], folder)).join("");
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

test("says on which platform no SQLite can be had, and what to do", onlyBun, () => {
  const folder = bundles("nothing");
  const queues = mkdtempSync(join(folder, "queues-"));
  const args = ["--no-experimental-sqlite", "service.mjs", queues];
  const { status, stderr } = spawnSync(runtimePath(NODE), args, { cwd: folder, encoding: "utf8" });
  assert.equal(status, 1);
  const { platform, arch } = process;
  assert.match(
    stderr,
    new RegExp(
      `The queue file ${queues}/events-one.db cannot be opened: no SQLite library loads on ${platform}-${arch} \\(`,
    ),
  );
  for (const reason of [/better-sqlite3: Cannot find module/, /bun:sqlite: not part of this runtime;/])
    assert.match(stderr, reason);
  assert.match(stderr, /Install the package better-sqlite3, or use Bun, Deno or Node 22\.16, or later/);
  assert.match(stderr, /code: 'NO_ADDON'/);
});

test("says to a Node 20 that it is too old", onlyBun, () => {
  const node20 = `delete JSON.rawJSON; Object.defineProperty(process.versions, "node", { value: "20.20.2" });`;
  const preload = `data:text/javascript,${encodeURIComponent(node20)}`;
  const args = ["--import", preload, "service.mjs", mkdtempSync(join(project, "queues-"))];
  const { status, stderr } = spawnSync(runtimePath(NODE), args, { cwd: project, encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /Node 20\.20\.2 is too old: upgrade to Node 22\.14\.0 or later\./);
  assert.match(stderr, /code: 'OLD_RUNTIME'/);
});

/** Copies what links lead to. */
const COPY = { recursive: true, dereference: true };

/** Nowhere below the project: what runs in them must not find its packages. */
const folders: string[] = [];

function makeFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `eventspool-bundle-${name}-`));
  folders.push(folder);
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
  run([process.execPath, "build", "service.mjs", ...args], project);
}

/** Runs a bundle to its end with an empty queue directory, and returns what it printed. */
function report(command: string[], folder: string): string {
  const { stdout, stderr } = run([...command, mkdtempSync(join(folder, "queues-"))], folder);
  assert.equal(stderr, "", "it warns of nothing");
  return stdout;
}

function run([command = "", ...args]: string[], cwd: string): { stdout: string; stderr: string } {
  const env = { ...process.env, EVENTSPOOL_SQLITE: "" };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
  return { stdout, stderr };
}
