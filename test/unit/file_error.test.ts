import assert from "node:assert/strict";
import { chmodSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { explainFileError } from "../../src/file_error.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** The explanation of the error of opening a file. */
function explain(path: string, flags: string = "r"): string {
  try {
    openSync(path, flags);
  } catch (error) {
    return explainFileError(error, path);
  }
  return assert.fail(`${path} was opened`);
}

const NOBODY = 65_534;
const cannotSwitch = process.getuid?.() !== 0 || process.seteuid === undefined;

/** Runs something as another user than root. */
function asNobody<T>(work: () => T): T {
  process.seteuid!(NOBODY);
  try {
    return work();
  } finally {
    process.seteuid!(0);
  }
}

test("a missing file, a missing directory and a file in the place of a directory are distinguished", () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "file");
  writeFileSync(file, "");
  assert.equal(explain(join(directory.path, "absent")), "the file does not exist");
  assert.equal(explain(join(directory.path, "a/b/c")), `the directory ${directory.path}/a/b does not exist`);
  assert.equal(explain(join(file, "c")), `${file} is not a directory`);
  assert.equal(explain(directory.path, "a"), "it is a directory");
  symlinkSync("loop", join(directory.path, "loop"));
  assert.match(explain(join(directory.path, "loop")), /chain of symbolic links/);
  assert.match(explain(join(directory.path, "x".repeat(300))), /the path is too long/);
});

test("a file that may not be read is explained with its owner, its mode and the user of the process", {
  skip: cannotSwitch && "only root can become another user",
}, () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "secret");
  writeFileSync(file, "");
  chmodSync(file, 0o600);
  chmodSync(directory.path, 0o755);
  const private_ = join(directory.path, "private");
  mkdirSync(private_, { mode: 0o700 });
  const { denied, below, created } = asNobody(() => ({
    denied: explain(file),
    below: explain(join(private_, "events.jsonl")),
    created: explain(join(directory.path, "events.jsonl"), "a"),
  }));
  const us = `this process runs as uid ${NOBODY}`;
  assert.equal(denied, `permission denied: it belongs to uid 0 (mode 0600), and ${us}`);
  assert.equal(below, `permission denied: ${private_} belongs to uid 0 (mode 0700), and ${us}`);
  assert.equal(created, `permission denied: ${directory.path} belongs to uid 0 (mode 0755), and ${us}`);
});

test("a read-only file system and a full disk are explained with what to do", () => {
  const explainCode = (code: string): string =>
    explainFileError(Object.assign(new Error(code), { code }), "/x");
  assert.match(explainCode("EROFS"), /the file system is read-only: choose another path/);
  assert.match(explainCode("ENOSPC"), /no space is left on the disk/);
  assert.equal(explainCode("EIO"), "EIO", "the system's message");
});
