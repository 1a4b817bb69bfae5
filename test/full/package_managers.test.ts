import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pack } from "../../scripts/pack.ts";
import { NODE, OLDEST_NODE } from "../../scripts/runtimes.ts";
import { pathWith, SQLITE_REPORTER, whyMissing } from "../support/installs.ts";
import { runtimePath } from "../support/runtimes.ts";

const OPTIONS = {
  skip: process.versions.bun === undefined && "the package is packed by Bun's test run",
  timeout: 300_000,
};

const NPM_10 = "npm@10.9.4";
const YARN_CLASSIC = "yarn@1.22.22";
const VITE = "vite@8.3.8";

let directory = "";
let tarball = "";
let node = "";

before(() => {
  if (OPTIONS.skip) return;
  directory = mkdtempSync(join(tmpdir(), "eventspool-managers-"));
  tarball = join(directory, "eventspool.tgz");
  const { status, stdout, stderr } = pack(tarball);
  assert.equal(status, 0, stdout + stderr);
  node = runtimePath(NODE);
});

after(() => {
  if (directory !== "") rmSync(directory, { recursive: true });
});

test("is installed by npm 10 from a lock file, with and without install scripts", OPTIONS, (t) => {
  const missing = whyMissing(NPM_10, pathWith(node));
  if (missing !== undefined) return t.skip(missing);
  const project = emptyProject("npm10");
  const npm = (...args: string[]): string =>
    run([process.execPath, "x", NPM_10, ...args, "--no-audit", "--no-fund", "--cache", "cache"], project);
  npm("install", "--package-lock-only", tarball);
  npm("ci");
  assertPuts(project);
  npm("ci", "--ignore-scripts");
  assertPuts(project);
});

test("is installed by Yarn classic", OPTIONS, (t) => {
  const missing = whyMissing(YARN_CLASSIC, pathWith(node));
  if (missing !== undefined) return t.skip(missing);
  const project = emptyProject("yarn");
  const add = ["add", "--no-progress", "--cache-folder", "cache", `file:${tarball}`];
  run([process.execPath, "x", YARN_CLASSIC, ...add], project);
  assertPuts(project);
});

test("works in what Vite builds for a server", OPTIONS, (t) => {
  const missing = whyMissing(VITE, pathWith(node));
  if (missing !== undefined) return t.skip(missing);
  const project = emptyProject("vite");
  run([process.execPath, "add", tarball], project);
  for (const [mode, config] of [
    ["external", {}],
    ["bundled", { ssr: { noExternal: true } }],
  ] as const) {
    writeFileSync(join(project, "vite.config.mjs"), `export default ${JSON.stringify(config)};\n`);
    run([process.execPath, "x", VITE, "build", "--ssr", "service.mjs", "--outDir", mode], project);
    assertPuts(project, join(mode, "service.js"));
  }
});

function emptyProject(name: string): string {
  const project = join(directory, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }\n');
  writeFileSync(join(project, "service.mjs"), SQLITE_REPORTER);
  return project;
}

/** With the addon or, where it was left out, with the SQLite of Node: npm 10 and Yarn drop a package whose script fails. */
function assertPuts(project: string, service: string = "service.mjs"): void {
  for (const runtime of [node, runtimePath(OLDEST_NODE)]) {
    const printed = run([runtime, service, mkdtempSync(join(project, "queues-"))], project);
    assert.match(printed, /^SQLite library: (better-sqlite3|node:sqlite)\n$/);
  }
}

/** Runs a command to its end with the pinned Node on its path, and returns what it printed. */
function run([command = "", ...args]: string[], cwd: string): string {
  const options = { cwd, encoding: "utf8", env: { ...process.env, ...pathWith(node) } } as const;
  const { status, stdout, stderr } = spawnSync(command, args, options);
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}
