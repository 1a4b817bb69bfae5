import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checkRuntime } from "../../../../src/storage/sqlite/better_sqlite3.ts";

const FILE = "/var/lib/eventspool/events-main.db";

test("rejects the versions of Bun and Node that crash with a queue, and says which do not", () => {
  assert.throws(() => checkRuntime(FILE, { bun: "1.4.0", node: "24.3.0" }), {
    code: "OLD_RUNTIME",
    message: `The file ${FILE} is not opened: Bun 1.4.0 crashes in SQLite's addon. Upgrade to Bun 1.4.1 or later.`,
  });
  assert.throws(() => checkRuntime(FILE, { node: "22.13.1" }), /Node 22\.13\.1 .* Node 22\.14\.0 or later/);
  assert.throws(() => checkRuntime(FILE, { node: "9.0.0" }), /Node 9\.0\.0/);
});

test("lets newer ones be, and every Deno, whichever Node they say they are like", () => {
  checkRuntime(FILE, { bun: "1.4.1", node: "20.0.0" });
  checkRuntime(FILE, { bun: "1.10.0-canary.1", node: "24.3.0" });
  checkRuntime(FILE, { deno: "2.0.0", node: "20.11.1" });
  checkRuntime(FILE, { node: "22.14.0" });
  checkRuntime(FILE, { node: "100.0.0" });
  checkRuntime(FILE); // this one
});

test("asks for what package.json asks for", () => {
  const { engines } = JSON.parse(readFileSync(new URL("../../../../package.json", import.meta.url), "utf8"));
  const oldest = (range: string): string => range.replace(">=", "");
  checkRuntime(FILE, { bun: oldest(engines.bun), node: "22.14.0" });
  checkRuntime(FILE, { node: oldest(engines.node) });
});
