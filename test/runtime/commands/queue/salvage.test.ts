import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openShell } from "../../../support/shell.ts";
import { Spool } from "../../../support/spool.ts";
import { LIMIT, queue } from "./queue_support.ts";

test(
  "finds a damaged event with check --deep, and saves the others with the command that it names",
  LIMIT,
  async () => {
    using spool = new Spool();
    spool.put(500, { text: "y".repeat(60) });
    const shell = openShell(spool.queue.file);
    shell.pragma("wal_checkpoint(TRUNCATE)");
    shell.close();
    const damaged = join(spool.directory, "damaged");
    mkdirSync(damaged);
    const bytes = readFileSync(spool.queue.file);
    const at = bytes.indexOf('{"n":100,');
    writeFileSync(join(damaged, "events-main.db"), bytes.fill("z", at, at + 50));

    const { code, stdout } = await queue(spool, ["check", "--deep", "--directory", damaged]);
    assert.equal(code, 1);
    assert.match(stdout, /PROBLEM {2}1 of 500 events cannot be read as JSON any more: ids 100\n/);
    const [, command] = /-> .*queue\.ts (salvage .*)$/m.exec(stdout) ?? assert.fail(stdout);
    const to = join(spool.directory, "new.db");
    const args = command!.replace(/--to \S+/, `--to ${to}`).split(" ");
    const saved = await queue(spool, args);
    assert.equal(saved.code, 1);
    assert.equal(
      saved.stdout,
      `Saved 499 events and 0 dead letters to ${to}.\nMissing: 1 event that cannot be read: ids 100.\n`,
    );
  },
);
