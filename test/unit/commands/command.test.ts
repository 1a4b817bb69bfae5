import assert from "node:assert/strict";
import { appendFileSync, closeSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { calledAs, helpOf, parseCommandLine, type Started, wrapped } from "../../../src/commands/command.ts";
import { VERBS } from "../../../src/commands/eventspool.ts";
import { openTarget } from "../../../src/commands/queue/verb.ts";
import { Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const verbs = Object.entries(VERBS);

test("the help of each verb has its usage, options, examples and exit codes", () => {
  for (const [name, verb] of verbs) {
    const help = helpOf(`eventspool ${name}`, verb);
    for (const option of [...Object.keys(verb.options), "help"])
      assert.match(help, new RegExp(`--${option}\\b`), name);
    assert.match(help, new RegExp(`^Usage: eventspool ${name} .*\\[options\\]$`, "m"));
    assert.match(help, new RegExp(`^Examples:\n {2}eventspool ${name}`, "m"));
    assert.match(
      help.replaceAll("\n", " "),
      /Exit codes: 0 done; 1 failed while running.*; 2 wrong usage or configuration\.$/,
    );
    assert.equal(/^--json prints/m.test(help), "json" in verb.options, `${name} documents its JSON`);
    assert.deepEqual(
      help.split("\n").filter((line) => line.length > 100),
      [],
      name,
    );
  }
});

test("the examples of each verb are understood", () => {
  for (const [name, { examples, options, args }] of verbs) {
    assert.ok(examples.length > 0, name);
    for (const example of examples) {
      const words = example
        .replace(/[<>] \S+/g, "")
        .split(" ")
        .filter(Boolean);
      const { positionals } = parseCommandLine(options, words);
      assert.ok(args !== undefined || positionals.length === 0, `${name} ${example}`);
    }
  }
});

test("one option is of the same kind in all verbs", () => {
  const kinds = new Map<string, string>();
  for (const [name, { options }] of verbs)
    for (const [option, { type, short }] of Object.entries(options)) {
      const kind = JSON.stringify([type, short]);
      assert.equal(kinds.get(option) ?? kind, kind, `--${option} of ${name}`);
      kinds.set(option, kind);
    }
});

test("wraps a text at spaces, and keeps its line ends", () => {
  const text = wrapped(`${"word ".repeat(40).trim()}\nend`, 10);
  assert.ok(text.split("\n").every((line) => line.length <= 90));
  assert.match(text, /\n {10}end$/);
  assert.equal(text.replaceAll(/\s+/g, " "), `${"word ".repeat(40)}end`);
});

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

test("appends lines to a file after an incomplete line, and never to a file of the queue", () => {
  using spool = new Spool();
  const queue = { path: spool.queue.file } as Parameters<typeof openTarget>[1];
  for (const [before, after] of [
    ["", "1\n"],
    ["0\n", "0\n1\n"],
    ['{"cut', '{"cut\n1\n'],
  ] as const) {
    const path = `${spool.directory}/events.jsonl`;
    writeFileSync(path, before);
    const target = openTarget(path, queue);
    appendFileSync(target, "1\n");
    closeSync(target);
    assert.equal(readFileSync(path, "utf8"), after);
  }
  symlinkSync(`${queue.path}-wal`, `${spool.directory}/wal`);
  symlinkSync(queue.path, `${spool.directory}/db`);
  for (const path of [queue.path, `${queue.path}-shm`, `${spool.directory}/wal`, `${spool.directory}/db`])
    assert.throws(() => openTarget(path, queue), /is a file of the queue itself: choose another\./);
});

test("names the keys of JSON in snake_case", () => {
  assert.deepEqual(
    verbs.filter(([, { json }]) => /[a-z][A-Z]/.test(json ?? "")).map(([name]) => name),
    [],
  );
});
