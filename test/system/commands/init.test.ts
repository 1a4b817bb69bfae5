import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { OLDEST_NODE } from "../../../scripts/runtimes.ts";
import { loadCollectorConfig } from "../../../src/config/collector_config.ts";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import { eventually } from "../../support/eventually.ts";
import { startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";
import { freePorts } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const QUEUE = join(ROOT, "src/commands/queue.ts");

function init(cwd: string, ...args: string[]) {
  return spawnSync(process.execPath, [QUEUE, "init", ...args], { cwd, encoding: "utf8" });
}

test("init writes a configuration with a new key that its owner alone reads, and overwrites nothing", () => {
  using directory = temporaryDirectory();
  const keys = ["a.ini", "b.ini"].map((name) => {
    const { status, stdout } = init(directory.path, name, "--queue-name", "web");
    assert.equal(status, 0);
    const path = join(directory.path, name);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const { destination, warnings } = loadPublisherConfig(path, { queueName: "web" });
    assert.deepEqual(warnings, []);
    assert.ok(destination.kind === "collector" && destination.version === "2j");
    const secret = Buffer.from(destination.key.secret.reveal());
    assert.equal(secret.length, 32);
    const collectors = loadCollectorConfig(path).keys.get("web")!;
    assert.deepEqual(Buffer.from(collectors.secret.reveal()), secret);
    assert.ok(stdout.includes(`key.web = ${secret.toString("base64")}`), "the collector's key");
    return secret.toString("base64");
  });
  assert.notEqual(keys[0], keys[1]);
  const before = readFileSync(join(directory.path, "a.ini"), "utf8");
  const again = init(directory.path, "a.ini");
  assert.equal(again.status, 2);
  assert.match(again.stderr, /a\.ini exists, and is not overwritten/);
  assert.equal(readFileSync(join(directory.path, "a.ini"), "utf8"), before);
  assert.match(init(directory.path, "absent/a.ini").stderr, /cannot create absent\/a\.ini \(ENOENT\)/);
});

test("what init prints works: service, collector and publisher", { timeout: 600_000 }, async () => {
  using directory = temporaryDirectory();
  const { path: cwd } = directory;
  const { stdout } = init(cwd);
  const [service] = /^ {2}import .*^ {2}events\.close\(.*?$/ms.exec(stdout)!;
  const env = { EVENTSPOOL_DIR: cwd };
  writeFileSync(
    join(cwd, "service.mjs"),
    service.replace('"eventspool"', JSON.stringify(join(ROOT, "src/mod.ts"))),
  );
  const put = spawnSync(process.execPath, ["service.mjs"], { cwd, env: { ...process.env, ...env } });
  assert.equal(put.status, 0, String(put.stderr));
  const oldest = getRuntime(OLDEST_NODE);
  assert.ok("path" in oldest, "missing" in oldest ? oldest.missing : "");
  const parsed = spawnSync(oldest.path, ["--check", "service.mjs"], { cwd, encoding: "utf8" });
  assert.equal(parsed.status, 0, parsed.stderr);

  const ports = await freePorts(2); // others may use those of the file
  const config = join(cwd, "eventspool.ini");
  const [batches, admin] = ports.map(String) as [string, string];
  const text = readFileSync(config, "utf8")
    .replaceAll(":9800", `:${batches}`)
    .replaceAll(":9900", `:${admin}`);
  writeFileSync(config, text);
  const commands = [...stdout.matchAll(/^ {2}(.* (?:collector|publisher) eventspool\.ini)$/gm)].map(
    ([, line]) => line!,
  );
  assert.equal(commands.length, 2);
  await using collector = startCommand(["sh", ["-c", `exec ${commands[0]}`]], { cwd, env });
  await collector.line(/Collecting at/);
  await using publisher = startCommand(["sh", ["-c", `exec ${commands[1]}`]], { cwd, env });
  await publisher.line(/Publishing queue/);
  await eventually("the event at the collector", () => {
    const output = join(cwd, "events.jsonl");
    return existsSync(output) && readFileSync(output, "utf8") === '{"action":"signup","user":"u1"}\n';
  });
});
