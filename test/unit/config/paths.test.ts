import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadCollectorConfig } from "../../../src/config/collector_config.ts";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** All paths in what was read, by the way to them. */
function pathsIn(value: unknown, way = ""): [string, string][] {
  if (typeof value === "string") return value.includes("here/") ? [[way, value]] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, `${way}.${key}`));
}

/** A directory with the files that configurations name, all below `here/`. */
function withFiles(run: (directory: string, write: (name: string, text: string) => string) => void): void {
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "here"));
  const write = (name: string, text: string): string => {
    const path = join(directory.path, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  write("here/secret", KEY_BASE64);
  write("here/token", "0123456789abcdef0123456789abcdef");
  write("here/pem", "");
  run(directory.path, write);
}

const COLLECTOR = "collector.hostname = localhost\nkey.name = k\nkey.secret_file = here/secret\n";

test("every relative path of a publisher's file is relative to that file, whatever the working directory", () => {
  withFiles((directory, write) => {
    const configs = [
      `${COLLECTOR}queue.directory = here/queue\nadmin.listen = here/admin.sock\nadmin.token_file = here/token\n`,
      `${COLLECTOR}queue.file = here/../here/shop.db\nadmin.listen = off\n`,
      "destination = file\nfile.path = here/e.jsonl\n",
      "destination = nats\nnats.servers = localhost\nnats.tls_ca_file = here/pem\nnats.tls_cert_file = ./here/pem\nnats.tls_key_file = here/pem\nnats.credentials_file = here/pem\n",
    ];
    let found = 0;
    for (const text of configs) {
      const config = loadPublisherConfig(write("publisher.ini", `[event-publisher:main]\n${text}`));
      for (const [way, path] of pathsIn(config)) {
        assert.ok(path.startsWith(`${directory}/here/`), `${way} is ${path}`);
        found++;
      }
    }
    assert.equal(found, 8);
  });
});

test("every relative path of a collector's file is relative to that file, defaults included", () => {
  withFiles((directory, write) => {
    const key = "[event-collector]\nkey.k_file = here/secret\n";
    const load = (text: string) => loadCollectorConfig(write("collector.ini", key + text));
    for (const [text, output] of [
      ["", "events.jsonl"],
      ["output = here/e.jsonl\nlisten = here/c.sock\nadmin.listen = here/a.sock\n", "here/e.jsonl"],
      ["sink = sqlite\n", "events.db"],
      ["sink = sqlite\noutput = here/e.db\n", "here/e.db"],
    ] as const) {
      const config = load(text);
      for (const [way, path] of pathsIn(config)) assert.ok(path.startsWith(directory), `${way} is ${path}`);
      assert.equal((config.sink as { path: string }).path, join(directory, output));
    }
  });
});
