import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { start } from "../../support/processes.ts";
import { runtimeLibrary } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Puts into two queues in a process of its own, and returns what it logged and how it ended. */
async function put(
  library: string,
  ...drivers: string[]
): Promise<{ logged: string; code: number | string }> {
  using directory = temporaryDirectory();
  const environment = { EVENTSPOOL_SQLITE: library };
  await using program = start(
    "test/support/programs/logging_producer.ts",
    [directory.path, ...drivers],
    environment,
  );
  const code = await program.ended;
  return { logged: [...program.stdout, ...program.stderr].join("\n"), code };
}

test("takes better-sqlite3, and says so once", async () => {
  assert.deepEqual(await put(""), { logged: "SQLite library: better-sqlite3", code: 0 });
});

test("takes the library that $EVENTSPOOL_SQLITE names", async () => {
  const { name } = runtimeLibrary;
  assert.deepEqual(await put(name), { logged: `SQLite library: ${name}`, code: 0 });
});

test("takes the library of the option driver rather than that of $EVENTSPOOL_SQLITE", async () => {
  const { name } = runtimeLibrary;
  assert.deepEqual(await put("better-sqlite3", name), { logged: `SQLite library: ${name}`, code: 0 });
});

test("rejects a second driver: a process uses one", async () => {
  const { name } = runtimeLibrary;
  const { logged } = await put("", "better-sqlite3", name);
  const problem = `driver: is ${name}, and this process already uses better-sqlite3`;
  assert.deepEqual(logged.split(": pass")[0], problem);
});

test("rejects a name that is no library's", async () => {
  const { logged } = await put("sqlite3");
  const problem = 'must be one of better-sqlite3, bun:sqlite, node:sqlite, got "sqlite3".';
  assert.equal(logged, `EVENTSPOOL_SQLITE: ${problem}`);
});

const lacksOne = { skip: process.versions.bun !== undefined && "Bun has all three" };

test("says on which platform a library that was asked for is missing, and what to do", lacksOne, async () => {
  const { logged } = await put("bun:sqlite");
  const { platform, arch } = process;
  assert.ok(
    logged.startsWith(`NO_ADDON no SQLite library loads on ${platform}-${arch} (bun:sqlite: `),
    logged,
  );
  assert.match(logged, /Install the package better-sqlite3, or use Bun/);
});
