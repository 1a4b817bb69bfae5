import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { loadPublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { iniOf } from "./differences.ts";
import { inTemporaryDirectory, rejects, withSettings } from "./support.ts";

test("the path of a service's database is relative to the configuration file", () => {
  inTemporaryDirectory((directory) => {
    const place = (file: string): string | undefined => {
      const config = join(directory, "publisher.ini");
      writeFileSync(config, iniOf({ "queue.file": file }));
      return loadPublisherConfig(config, { env: { DATA: "/srv/data" } }).file;
    };
    assert.equal(place("shop.db"), join(directory, "shop.db"));
    assert.equal(place("../data/shop.db"), resolve(directory, "../data/shop.db"));
    assert.equal(place("/srv/shop.db"), "/srv/shop.db");
    assert.equal(place("$DATA/shop.db"), "/srv/data/shop.db");
  });
  const text = iniOf({ "queue.file": "shop.db" });
  assert.equal(parsePublisherConfig(text, { env: {} }).file, resolve("shop.db"));
});

test("there is no ballast beside a service's database by default", () => {
  assert.equal(withSettings({ "queue.file": "/shop.db" }).ballastBytes, 0);
  assert.equal(withSettings({ "queue.file": "/shop.db", "queue.ballast": "1MiB" }).ballastBytes, 1_048_576);
});

test("a directory and a file for one queue are rejected", () => {
  rejects(
    () => withSettings({ "queue.file": "/shop.db", "queue.directory": "/spool" }),
    /queue\.file: and queue\.directory are both set: keep one of them$/,
  );
});

test("a mode for a service's database gives a warning", () => {
  const { warnings } = withSettings({ "queue.file": "/shop.db", "queue.file_mode": "0660" });
  assert.match(warnings.join("\n"), /queue\.file_mode: has no effect beside queue\.file/);
});
