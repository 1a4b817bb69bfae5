import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { start } from "../support/processes.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const NOBODY = 65_534;
const cannotSwitch = process.getuid?.() !== 0 || process.seteuid === undefined;

test("a file that may not be read is explained with its owner, its mode and the user of the process", {
  skip: cannotSwitch && "only root can become another user",
}, async () => {
  using directory = temporaryDirectory();
  const file = join(directory.path, "secret");
  writeFileSync(file, "");
  chmodSync(file, 0o600);
  chmodSync(directory.path, 0o755);
  const private_ = join(directory.path, "private");
  mkdirSync(private_, { mode: 0o700 });
  const paths = [file, join(private_, "events.jsonl"), `${join(directory.path, "events.jsonl")}+`];
  await using opener = start("test/support/programs/file_opener.ts", [String(NOBODY), ...paths]);
  assert.equal(await opener.ended, 0, opener.stderr.join("\n"));
  const us = `this process runs as uid ${NOBODY}`;
  assert.deepEqual(opener.stdout, [
    `permission denied: it belongs to uid 0 (mode 0600), and ${us}`,
    `permission denied: ${private_} belongs to uid 0 (mode 0700), and ${us}`,
    `permission denied: ${directory.path} belongs to uid 0 (mode 0755), and ${us}`,
  ]);
});
