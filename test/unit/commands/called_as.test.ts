import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { calledAs, type Started } from "../../../src/commands/called_as.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const PROGRAM = { bin: "eventspool", script: "queue" };
const SOURCE = "/clone/src/commands/queue.ts";
const LINK = "/app/node_modules/.bin/eventspool";
const PACKAGE = "/app/node_modules/eventspool/dist/commands/queue.js";

function nameOf(entry: string, started: Partial<Started> = {}): string {
  const defaults: Started = {
    argv: ["", entry],
    execPath: "/usr/bin/bun",
    cwd: "/clone",
    env: {},
    versions: {},
  };
  return calledAs(PROGRAM, { ...defaults, ...started });
}

const SCRIPT = { npm_lifecycle_event: "queue", npm_lifecycle_script: "bun src/commands/queue.ts" };

test("names the package manager's script in a clone", () => {
  const by = (agent: string): string =>
    nameOf(SOURCE, { env: { ...SCRIPT, npm_config_user_agent: agent }, versions: { bun: "1.4.4" } });
  assert.equal(by("bun/1.4.4 npm/? node/v26.3.0 linux x64"), "bun run queue");
  assert.equal(by("npm/11.19.1 node/v20.20.2 linux x64 workspaces/false"), "npm run queue --");
  assert.equal(by("pnpm/10.0.0 npm/? node/v24.0.0 linux x64"), "pnpm run queue");
});

test("is not misled by a script of that name in another project, or by a script that started it", () => {
  const versions = { bun: "1.4.4" };
  const other = { npm_lifecycle_event: "queue", npm_lifecycle_script: "eventspool list" };
  assert.equal(nameOf(PACKAGE, { env: other, versions }), "bunx --bun eventspool");
  const outer = { npm_lifecycle_event: "test", npm_lifecycle_script: "bun scripts/test.ts" };
  assert.equal(nameOf(SOURCE, { env: outer, versions }), "bun src/commands/queue.ts");
});

test("names npx and bunx", () => {
  const npx = {
    npm_command: "exec",
    npm_lifecycle_event: "npx",
    npm_lifecycle_script: "'eventspool' 'list'",
  };
  assert.equal(nameOf(LINK, { env: npx }), "npx eventspool");
  const bunx = { npm_command: "exec", npm_lifecycle_event: "bunx", npm_lifecycle_script: "eventspool" };
  assert.equal(nameOf(LINK, { env: bunx }), "bunx eventspool");
  assert.equal(nameOf(LINK, { env: bunx, versions: { bun: "1.4.4" } }), "bunx --bun eventspool");
});

test("names an installed command by what finds it again", () => {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "eventspool"), "");
  assert.equal(nameOf(LINK, { env: { PATH: `/nowhere:${directory.path}` } }), "eventspool");
  assert.equal(nameOf(LINK, { env: { PATH: "/nowhere" } }), "npx eventspool");
  assert.equal(nameOf(PACKAGE, { versions: { bun: "1.4.4" } }), "bunx --bun eventspool");
  assert.equal(nameOf(PACKAGE, { versions: { deno: "2.9.6" } }), "deno run -A npm:eventspool/eventspool");
});

test("names a file with its runtime, from the working directory where that is shorter", () => {
  assert.equal(nameOf(SOURCE, { versions: { bun: "1.4.4" } }), "bun src/commands/queue.ts");
  assert.equal(nameOf(SOURCE, { versions: { deno: "2.9.6" } }), "deno run -A src/commands/queue.ts");
  assert.equal(nameOf(SOURCE, { cwd: "/" }), "node clone/src/commands/queue.ts");
  assert.equal(nameOf(SOURCE, { cwd: "/elsewhere" }), `node ${SOURCE}`);
  assert.equal(nameOf("/my clone/queue.ts", { cwd: "/elsewhere" }), "node '/my clone/queue.ts'");
});

test("names a compiled program by its own file", () => {
  const compiled = { execPath: "/opt/eventspool-publisher", versions: { bun: "1.4.4" } };
  assert.equal(nameOf("/$bunfs/root/publisher", compiled), "/opt/eventspool-publisher");
  assert.equal(nameOf("/$bunfs/root/publisher", { ...compiled, cwd: "/opt" }), "./eventspool-publisher");
});
