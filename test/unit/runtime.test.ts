import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { oldRuntime } from "../../src/runtime.ts";
import { checkRuntime } from "../../src/storage/sqlite/driver.ts";

const FILE = "/var/lib/eventspool/events-main.db";

test("finds the versions of Bun, Deno and Node that are too old, and says which are not", () => {
  assert.deepEqual(oldRuntime({ bun: "1.4.0", node: "24.3.0" }), {
    name: "Bun",
    found: "1.4.0",
    needed: "1.4.1",
  });
  assert.equal(oldRuntime({ deno: "1.46.3", node: "20.11.1" })?.needed, "2.7.1");
  assert.equal(oldRuntime({ node: "22.13.1" })?.needed, "22.14.0");
  assert.equal(oldRuntime({ node: "9.0.0" })?.found, "9.0.0");
});

test("accepts newer ones, and Deno whichever Node it says it is like", () => {
  for (const versions of [
    { bun: "1.4.1", node: "20.0.0" },
    { bun: "1.10.0-canary.1", node: "24.3.0" },
    { deno: "2.7.1", node: "20.11.1" },
    { node: "22.14.0" },
    { node: "100.0.0" },
    undefined, // this one
  ])
    assert.equal(oldRuntime(versions), undefined);
});

test("asks for what package.json asks for", () => {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const oldest = (range: string): string => range.replace(">=", "");
  const needed = [{ bun: "0.1.0", node: "24.0.0" }, { deno: "0.1.0", node: "24.0.0" }, { node: "0.1.0" }];
  assert.deepEqual(
    needed.map((versions) => oldRuntime(versions)?.needed),
    [engines.bun, engines.deno, engines.node].map(oldest),
  );
});

test("opens no file under a runtime that is too old", () => {
  assert.throws(() => checkRuntime(FILE, { bun: "1.4.0", node: "24.3.0" }), {
    code: "OLD_RUNTIME",
    message: `The file ${FILE} is not opened: Bun 1.4.0 is too old: upgrade to Bun 1.4.1 or later.`,
  });
  checkRuntime(FILE); // this one
});
