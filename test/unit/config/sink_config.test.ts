import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { parseCollectorConfig } from "../../../src/config/collector_config.ts";
import type { SinkConfig } from "../../../src/config/sink_config.ts";
import { rejects } from "./support.ts";

function parse(lines: string): SinkConfig {
  const text = `[event-collector]\nkey.K = aGk=\n${lines}`;
  const { sink, warnings } = parseCollectorConfig(text, { file: "f.ini", env: {} });
  assert.deepEqual(warnings, []);
  return sink;
}

const FILE = {
  kind: "file",
  path: resolve("events.jsonl"),
  fsync: "always",
  fsyncIntervalMs: 100,
  fileMode: 0o600,
  rotateSizeBytes: undefined,
  rotateAgeMs: undefined,
};

test("the defaults of each sink", () => {
  assert.deepEqual(parse(""), FILE);
  assert.deepEqual(parse("sink = file\n"), FILE);
  assert.deepEqual(parse("sink = sqlite\n"), {
    kind: "sqlite",
    path: resolve("events.db"),
    fsync: "always",
    fsyncIntervalMs: 100,
    fileMode: 0o600,
  });
});

test("every key of each sink is read", () => {
  const rotation = "output.rotate_size = 256MiB\noutput.rotate_age = 1h\n";
  const fsync = "output.fsync = interval\noutput.fsync_interval = 1s\noutput.mode = 0640\n";
  assert.deepEqual(parse(`output = /data/e.jsonl\n${rotation}${fsync}`), {
    kind: "file",
    path: "/data/e.jsonl",
    fsync: "interval",
    fsyncIntervalMs: 1_000,
    fileMode: 0o640,
    rotateSizeBytes: 268_435_456,
    rotateAgeMs: 3_600_000,
  });
  assert.deepEqual(parse(`sink = sqlite\noutput = /data/e.db\n${fsync}`), {
    kind: "sqlite",
    path: "/data/e.db",
    fsync: "interval",
    fsyncIntervalMs: 1_000,
    fileMode: 0o640,
  });
});

test("wrong sinks, policies, sizes and ages are rejected with the key", () => {
  rejects(
    () => parse("sink = kafka\n"),
    /^f\.ini:3: \[event-collector\] sink: expected file, sqlite.* or .*, got "kafka"$/,
  );
  rejects(() => parse("output.fsync = yes\n"), /output\.fsync: expected always, interval or never/);
  rejects(
    () => parse("output.rotate_size = 1kB\n"),
    /output\.rotate_size: expected 1048576 to \d+ bytes, got 1000 bytes$/,
  );
  rejects(
    () => parse("output.rotate_age = 10ms\n"),
    /output\.rotate_age: expected 1000 to 86400000ms, got 10ms$/,
  );
});

test("keys without an effect are rejected", () => {
  rejects(
    () => parse("sink = sqlite\noutput.rotate_age = 1h\n"),
    /^f\.ini:4: \[event-collector\] output\.rotate_age: needs sink = file, got sqlite/,
  );
  rejects(
    () => parse("output.fsync_interval = 1s\n"),
    /output\.fsync_interval: needs output\.fsync = interval, got always/,
  );
});
