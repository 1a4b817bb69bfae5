import assert from "node:assert/strict";
import os from "node:os";
import { test } from "node:test";
import { parse } from "yaml";
import * as errors from "../../../src/errors.ts";
import { readDeployment } from "../../support/deployment.ts";
import { readPage } from "../../support/doc_page.ts";
import { readSources, stringsAfter, tableBelow } from "./source_text.ts";

const page = readPage("docs/production.md");
const sources = readSources();
const LEVELS: Readonly<Record<string, string>> = { warn: "WARN", error: "ERROR" };

/** The first `count` cells of a table's rows, without the ticks of code. */
function cells(heading: string, count: number): string[][] {
  return tableBelow(page, heading).map((row) => row.slice(0, count).map((cell) => cell.replaceAll("`", "")));
}

function sorted(rows: readonly (readonly string[])[]): string[] {
  return [...new Set(rows.map((row) => row.join(" | ")))].sort();
}

test("docs/production.md has a row for each reason that /health gives, with its status, and no other", () => {
  const reasons = stringsAfter(String.raw`\[\s*"(failing|degraded)",`, sources.get("publisher/health.ts")!);
  assert.ok(reasons.length >= 9, `only ${reasons.length} reasons were found`);
  const shown = cells("## What `/health` says", 2);
  assert.deepEqual(sorted(shown), sorted(reasons.map(([status, reason]) => [reason!, status!])));
});

test("docs/production.md names each kind of last_error", () => {
  const [, kinds] = /readonly kind: ((?:"\w+"(?: \| )?)+)/.exec(sources.get("publisher/health.ts")!)!;
  for (const [, kind] of kinds!.matchAll(/"(\w+)"/g))
    assert.match(page, new RegExp(`last_error.kind.*\`${kind}\``));
});

test("docs/production.md has a row for each error that is thrown, and no other", () => {
  const thrown = Object.keys(errors).filter((name) => name !== "EventError");
  assert.ok(thrown.length >= 8);
  assert.deepEqual(sorted(cells("## What each error means", 1)), thrown.sort());
});

test("docs/production.md has a row for each code of an EventStorageError, and no other", () => {
  const codes = new Set(
    [...sources.values()].flatMap((text) => [
      ...[...text.matchAll(/new EventStorageError\(\s*"(\w+)"/g)].map(([, code]) => code!),
      ...[...text.matchAll(/"(SQLITE_[A-Z_]+|UNKNOWN)"/g)].map(([, code]) => code!),
    ]),
  );
  assert.ok(codes.size > 20, `only ${codes.size} codes were found`);
  const shown = cells("### By `code`", 1).flatMap(([codes]) => codes!.split(", "));
  const covers = (pattern: string, code: string): boolean =>
    pattern.endsWith("*") ? code.startsWith(pattern.slice(0, -1)) : code === pattern;
  assert.deepEqual(
    [...codes].filter((code) => !shown.some((pattern) => covers(pattern, code))),
    [],
  );
  const comes = (pattern: string): boolean =>
    pattern in os.constants.errno || [...codes].some((code) => covers(pattern, code));
  assert.deepEqual(
    shown.filter((pattern) => !comes(pattern)),
    [],
  );
});

test("docs/production.md has a row for each warning and error of the log, with its level, and no other", () => {
  const said = [...sources.values()].flatMap((text) => [
    ...stringsAfter(String.raw`logger\.(warn|error)\(`, text),
    // An error the first time, then debug.
    ...(text.includes("logger.error(message,")
      ? stringsAfter("const message =", text).map(([m]) => ["error", m!])
      : []),
  ]);
  assert.ok(said.length >= 15, `only ${said.length} sentences were found`);
  const shown = cells("## What the log says", 2);
  assert.deepEqual(sorted(shown), sorted(said.map(([level, sentence]) => [sentence!, LEVELS[level!]!])));
});

test("log messages are literals in the source, so that this page's test finds them", () => {
  const others = [...sources].flatMap(([name, text]) =>
    [...text.matchAll(/logger\.(?:warn|error|warning|fatal)\(\s*([^"`\s][^,;\n]*)/g)].map(
      (m) => `${name}: ${m[1]}`,
    ),
  );
  const known = ["commands/command.ts: warning.replaceAll(/[{}]/g", "publisher/log.ts: message"];
  assert.deepEqual(others.sort(), known);
});

test("docs/production.md has the alerts, in their order, with severity and how long they wait", () => {
  const { groups } = parse(readDeployment("prometheus/alerts.yml")) as {
    groups: { rules: { alert: string; labels: { severity: string }; for?: string }[] }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length > 10);
  assert.deepEqual(
    cells("## Alerts", 3),
    rules.map(({ alert, labels, for: wait }) => [alert, labels.severity, wait ?? "at once"]),
  );
});
