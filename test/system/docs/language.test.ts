import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../support/project.ts";

/** Odd or archaic turns, each with what to write instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bmend(s|ed|ing)?\b/i, "correct, repair, fix"],
  [/\breckon\w*/i, "estimate, compute"],
  [/\b(whoever|whosoever|whom)\b/i, "name who: a process, a user, an attacker"],
  [/\b(all|those) who\b/i, "name who: processes that, users that"],
  [/\b(becomes?|became) of\b/i, "happens to"],
  [/\b(tells?|told) of\b/i, "shows, reports, describes"],
  [/\b(is|are|was|were|be|been|as) told\b/i, "gets, receives, is called with"],
  [/\bstands?\b(?! for)/i, "is"],
  [/\bthere is no such\b/i, "does not exist, unknown"],
  [/\bis no [a-z]+, but\b/i, "is not a"],
  [/\bis there already\b/i, "exists"],
  [/\bmeant to be\b/i, "did you mean"],
  [/\bto be had\b/i, "available"],
  [/\b(comes?|came) of\b/i, "results in, happens"],
  [/\bturns? of the event loop\b/i, "tick of the event loop"],
  [/\btak(e|es|en|ing) (it |them |this |that )?for an?\b/i, "treats as"],
  [/\btakes no (more )?events\b/i, "rejects, accepts no"],
  [/\bfor ever\b/i, "forever, until it is stored"],
  [/\b(all the same|until someone says)\b/i, "still, although; by default"],
  [/\bbut for\b/i, "except"],
  [/\bnothing but\b/i, "only"],
  [/\bfor (want|lack) of\b/i, "because ... is missing"],
  [/\bin vain\b/i, "without success"],
  [/, say[,.)]/i, "for example, such as"],
  [/\b(by turns|of old|dearer|dearest|seldom|moody|vouch\w*)\b/i, "in turn, earlier, more expensive, rarely"],
  [/\b(amid|amongst|whilst|upon|hence|henceforth|hitherto|lest|nay|anew|shall|ought)\b/i, "plain words"],
  [
    /\b(thereby|therein|thereof|thereupon|whereby|wherein|whereupon|whence|whither)\b/i,
    "so, in it, by which",
  ],
  [/\brefus(e|es|ed|ing|al)\b/i, "reject"],
  [/\b(bury|buries|buried)\b/i, "make a dead letter"],
  [/\b(tidy|tidies|tidied|tidying|housekeeping)\b/i, "maintenance, clean up"],
  [/\blanes?\b/i, "concurrency limit"],
  [/\bgathering\b/i, "batching"],
];

/** Where a banned word is right: another program's message, a name of the past, a word of a library. */
const ALLOWED: Readonly<Record<string, RegExp>> = {
  "CHANGELOG.md": /^\| |refuse|Refused/,
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

/** Of a test only the names of tests are checked. */
const CHECKED = ["docs", "deploy", "examples", "src", "test", "scripts", "bench", "schema.sql"];

for (const folder of CHECKED)
  test(`${folder} uses plain words`, () => {
    const paths = folder.includes(".") ? [folder] : filesUnder(folder);
    assert.deepEqual(paths.flatMap(bannedInFile), []);
  });

test("README.md, the pages beside it and llms.txt use plain words", () => {
  const names = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
  assert.deepEqual([...names, "llms.txt"].flatMap(bannedInFile), []);
});

test("banned words are found, and others are not", () => {
  assert.deepEqual(bannedIn("A man who reckons"), ['"reckons": estimate, compute']);
  assert.deepEqual(bannedIn("It stands here a second time"), ['"stands": is']);
  assert.deepEqual(bannedIn("recommend, understand, stands for, comes off, a standard"), []);
});

test("README.md has at most 8 kB", () => {
  assert.ok(readFileSync(join(ROOT, "README.md")).length <= 8_000);
});

function bannedIn(line: string): string[] {
  return BANNED.flatMap(([pattern, instead]) => {
    const match = pattern.exec(line);
    return match === null ? [] : [`"${match[0]}": ${instead}`];
  });
}

function bannedInFile(path: string): string[] {
  const lines = readFileSync(join(ROOT, path), "utf8").split("\n");
  return lines.flatMap((line, at) =>
    ALLOWED[path]?.test(line) || (path.startsWith("test/") && !TEST_NAME.test(line))
      ? []
      : bannedIn(line).map((why) => `${path}:${at + 1}: ${why}`),
  );
}

/** A line with the name of a test: `test("...`, or the string below a `test(`. */
const TEST_NAME = /^\s*(?:test\()?["`].*["`],/;

function filesUnder(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { recursive: true, encoding: "utf8" })
    .map((name) => join(directory, name))
    .filter((path) => TEXTS.has(extname(path)) && !path.includes("node_modules"))
    .filter((path) => path !== "test/system/docs/language.test.ts");
}
