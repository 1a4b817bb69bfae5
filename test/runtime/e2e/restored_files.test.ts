import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Host, ROLLED_BACK } from "../../support/host.ts";
import { openShell } from "../../support/shell.ts";

const LIMIT = { timeout: 300_000 };
const SIDE_FILES = ["-wal", "-shm"];

function removeQueue(file: string): void {
  for (const suffix of ["", ...SIDE_FILES]) rmSync(file + suffix, { force: true });
}

function copyAll(from: string, to: string): void {
  for (const suffix of ["", ...SIDE_FILES])
    if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix);
}

interface Backup {
  take(file: string, backup: string): void;
  restore(backup: string, file: string): void;
  /** Why new events are named anew. */
  readonly reason: "moved" | "rolled_back";
}

const BACKUPS: Readonly<Record<string, Backup>> = {
  "a copy of the file": {
    take: copyFileSync,
    restore: (backup, file) => {
      removeQueue(file);
      copyFileSync(backup, file);
    },
    reason: "moved",
  },
  "a copy of the file, its -wal and its -shm": {
    take: copyAll,
    restore: (backup, file) => {
      removeQueue(file);
      copyAll(backup, file);
    },
    reason: "moved",
  },
  "a copy by VACUUM INTO": {
    take: (file, backup) => {
      const db = openShell(file);
      db.prepare<[string]>("VACUUM INTO ?").run(backup);
      db.close();
    },
    restore: (backup, file) => {
      removeQueue(file);
      copyFileSync(backup, file);
    },
    reason: "moved",
  },
  "the bytes of the file, written back into the same inode": {
    take: copyFileSync,
    restore: (backup, file) => {
      for (const suffix of SIDE_FILES) rmSync(file + suffix, { force: true });
      writeFileSync(file, readFileSync(backup));
    },
    reason: "rolled_back",
  },
};

for (const [name, { take, restore, reason }] of Object.entries(BACKUPS))
  test(`${name} is restored: each event that is put afterwards is stored`, LIMIT, async () => {
    await using host = new Host();
    await host.startCollector();
    host.put(10);
    await host.drain();
    host.put(5); // they wait in the backup, and are delivered by the original
    const backup = join(host.directory, "backup.db");
    take(host.file, backup);
    host.put(20);
    await host.drain();

    restore(backup, host.file);
    host.put(30);
    const log = await host.drain();
    host.assertStored({ twice: reason === "moved" ? 0 : 35 });
    assert.equal(host.reasons().at(-1), reason);
    assert.equal(ROLLED_BACK.test(log), reason === "rolled_back", log);
    if (reason === "moved") assert.equal(host.stored().length, 65, "and each once");
  });
