import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { rejects } from "./support.ts";

function read(...lines: string[]) {
  return parsePublisherConfig(`[event-publisher:main]\n${lines.join("\n")}\n`, {
    file: "/etc/f.ini",
    env: {},
  });
}

test("takes events to a file beside the configuration, and needs no key for it", () => {
  assert.deepEqual(read("destination = file").destination, { kind: "file", path: "/etc/events.jsonl" });
  const { destination, warnings } = read("destination = file", "file.path = ../var/e.jsonl");
  assert.deepEqual([destination, warnings], [{ kind: "file", path: "/var/e.jsonl" }, []]);
});

test("warns of keys that are another destination's", () => {
  const { warnings } = read("destination = file", "collector.hostname = c.example", "key.name = K");
  assert.deepEqual(warnings, [
    "/etc/f.ini:3: [event-publisher:main] collector.hostname: has no effect: destination is file",
    "/etc/f.ini:4: [event-publisher:main] key.name: has no effect: destination is file",
  ]);
});

test("rejects a destination that it does not know", () => {
  rejects(() => read("destination = kafka"), /destination: expected .* or .*, got "kafka"/);
});
