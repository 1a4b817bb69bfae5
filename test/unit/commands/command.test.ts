import assert from "node:assert/strict";
import { appendFileSync, closeSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { helpOf, parseCommandLine, wrapped } from "../../../src/commands/command.ts";
import { VERBS } from "../../../src/commands/eventspool.ts";
import { openTarget } from "../../../src/commands/queue/verb.ts";
import { Spool } from "../../support/spool.ts";

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

test("appends lines to a file behind a line that was cut off, and never to a file of the queue", () => {
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
