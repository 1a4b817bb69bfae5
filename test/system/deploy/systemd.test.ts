import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { DEFAULT_GRACE_MS } from "../../../src/config/parsers.ts";
import { readDeployment, secondsOf } from "../../support/deployment.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { run } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const UNIT = "eventspool-publisher@.service";
const unit = readDeployment(`systemd/${UNIT}`);
const skip = spawnSync("systemd-analyze", ["--version"]).error !== undefined && "systemd is not installed";

/** All values of a setting of the unit. */
function settings(name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value!);
}

/** Has systemd-analyze look at the unit, with `lines` added, whose program is this runtime: Bun may be elsewhere. */
function analyze(verb: readonly string[], lines = ""): { status: number | null; output: string } {
  using directory = temporaryDirectory();
  const path = join(directory.path, UNIT.replace("@", "@main"));
  writeFileSync(
    path,
    unit.replace("/usr/local/bin/bun", process.execPath).replace("[Install]", `${lines}\n$&`),
  );
  const { status, stdout, stderr } = spawnSync("systemd-analyze", [...verb, path], { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

test("has a unit in which systemd finds nothing wrong", { skip, timeout: 600_000 }, () => {
  assert.doesNotMatch(analyze(["verify"]).output, /eventspool/);
  assert.match(analyze(["verify"], "NoSuchSetting=1").output, /NoSuchSetting/, "it would say so");
});

test("has a unit whose exposure systemd calls OK", { skip, timeout: 600_000 }, () => {
  const strict = analyze(["security", "--offline=true", "--threshold=20"]);
  assert.equal(strict.status, 0, strict.output);
  const without = ["User=root", "NoNewPrivileges=no", "ProtectSystem=no", "SystemCallFilter="].join("\n");
  const open = analyze(["security", "--offline=true", "--threshold=20"], without);
  assert.notEqual(open.status, 0, open.output);
});

test("has a unit that gives batches in flight their time, and leaves the JIT its memory", () => {
  assert.ok(secondsOf(settings("TimeoutStopSec")[0]!) * 1_000 > DEFAULT_GRACE_MS);
  assert.deepEqual(settings("MemoryDenyWriteExecute"), []);
  assert.deepEqual(settings("NotifyAccess"), ["all"], "systemd-notify is a child");
});

test("has a unit whose command reads its configuration and its credential", { timeout: 600_000 }, () => {
  using directory = temporaryDirectory();
  const config = join(directory.path, "publisher.ini");
  writeFileSync(config, readDeployment("systemd/publisher.ini"));
  const credentials = join(directory.path, "credentials");
  mkdirSync(credentials);
  const [credential] = settings("LoadCredential")[0]!.split(":");
  writeFileSync(join(credentials, credential!), `${KEY_BASE64}\n`);
  chmodSync(join(credentials, credential!), 0o400);

  const [, ...words] = settings("ExecStart")[0]!.replace("%i", "main").split(" ");
  const at = words.findIndex((word) => word.startsWith("/opt/eventspool/"));
  const file = words[at]!.replace(/^\/opt\/eventspool\//, new URL("../../../", import.meta.url).pathname);
  const local = words.slice(at + 1).map((arg) => (arg === "/etc/eventspool/publisher.ini" ? config : arg));
  const { status, output } = run(file, [...local, "--check"], {
    EVENTSPOOL_DIR: "",
    STATE_DIRECTORY: directory.path,
    CREDENTIALS_DIRECTORY: credentials,
  });
  assert.equal(status, 0, output);
  const checked = JSON.parse(output) as { file: string; warnings: unknown[] };
  assert.equal(checked.file, join(directory.path, "events-main.db"));
  assert.deepEqual(checked.warnings, []);
});
