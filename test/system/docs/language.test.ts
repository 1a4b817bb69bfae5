import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../support/project.ts";

/** Odd or archaic turns, each with what to write instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bmend(s|ed|ing)?\b/i, "correct, repair, fix"],
  [/\breckon\w*/i, "estimate, compute"],
  [/\b(whoever|whosoever)\b/i, "name who: a process, a user, an attacker"],
  [/\b(becomes?|became) of\b/i, "happens to"],
  [/\b(tells?|told) of\b/i, "shows, reports, describes"],
  [/\bstands?\b(?! for)/i, "is"],
  [/\bthere is no such\b/i, "does not exist, unknown"],
  [/\bto be had\b/i, "available"],
  [/\b(comes?|came) of\b/i, "results in, happens"],
  [/\bas told\b/i, "as configured, on demand"],
  [/\b(amid|hence|thereby|wherein|lest|nay|anew)\b/i, "in the middle of, so, again"],
  [/\bfor want of\b/i, "because ... is missing"],
  [/\brefus(e|es|ed|ing|al)\b/i, "reject"],
];

/** Where a banned word is right: another program's message, a name of the past, a word of a library. */
const ALLOWED: Readonly<Record<string, RegExp>> = {
  "CHANGELOG.md": /^\| .*refuse.*\| |`refuse|Refused/,
  "docs/jetstream.md": /connection refused/,
};

const TEXTS = new Set([
  ".md",
  ".ini",
  ".toml",
  ".yaml",
  ".yml",
  ".ts",
  ".service",
  ".conf",
  ".cfg",
  ".thrift",
]);

test("README, docs, changelog, deploy and examples use plain words", () => {
  const found = [...pages(), ...["docs", "deploy", "examples"].flatMap(filesUnder)].flatMap((path) =>
    readFileSync(join(ROOT, path), "utf8")
      .split("\n")
      .flatMap((line, at) =>
        ALLOWED[path]?.test(line) ? [] : bannedIn(line).map((why) => `${path}:${at + 1}: ${why}`),
      ),
  );
  assert.deepEqual(found, []);
});

test("banned words are found, and others are not", () => {
  assert.deepEqual(bannedIn("A man who reckons"), ['"reckons": estimate, compute']);
  assert.deepEqual(bannedIn("It stands here a second time"), ['"stands": is']);
  assert.deepEqual(bannedIn("recommend, understand, stands for, comes off, a standard"), []);
});

test("README.md has at most 8 kB", () => {
  assert.ok(readFileSync(join(ROOT, "README.md")).length <= 8_000);
});

/** How many are left in src/, where this test only reports them. */
test("src/ is only counted", (t) => {
  const count = filesUnder("src").flatMap((path) =>
    readFileSync(join(ROOT, path), "utf8").split("\n").flatMap(bannedIn),
  ).length;
  t.diagnostic(`${count} banned words in src/`);
});

function bannedIn(line: string): string[] {
  return BANNED.flatMap(([pattern, instead]) => {
    const match = pattern.exec(line);
    return match === null ? [] : [`"${match[0]}": ${instead}`];
  });
}

function pages(): string[] {
  return readdirSync(ROOT).filter((name) => name.endsWith(".md"));
}

function filesUnder(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => TEXTS.has(extname(path)) && !path.includes("node_modules"));
}
