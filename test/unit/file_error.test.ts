import assert from "node:assert/strict";
import { openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { codeOrMessage, explainFileError } from "../../src/file_error.ts";
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

test("a read-only file system and a full disk are explained with what to do", () => {
  const explainCode = (code: string): string =>
    explainFileError(Object.assign(new Error(code), { code }), "/x");
  assert.match(explainCode("EROFS"), /the file system is read-only: choose another path/);
  assert.match(explainCode("ENOSPC"), /no space is left on the disk/);
  assert.equal(explainCode("EIO"), "EIO", "the system's message");
  assert.equal(codeOrMessage(new Error("Requires read access")), "Requires read access", "Deno's");
});
