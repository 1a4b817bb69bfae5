import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "../../src/version.ts";
import { KEY_BASE64 } from "../support/keys.ts";
import { start } from "../support/processes.ts";
import { ScriptedCollector } from "../support/scripted_collector.ts";
import { addressOf, stop } from "../support/spool.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { assertRefusal, type Result } from "./support.ts";

const LIMIT = { timeout: 60_000 };

async function collector(args: readonly string[]): Promise<Result> {
  await using program = start("src/cli/collector.ts", args);
  const code = await program.ended;
  return { code, stdout: program.stdout.join("\n"), stderr: program.stderr };
}

/** Writes a configuration of a collector into a directory, and returns its path. */
function configure(
  directory: string,
  lines: string,
  output: string = join(directory, "events.jsonl"),
): string {
  const path = join(directory, "config.ini");
  writeFileSync(path, `[event-collector]\noutput = ${output}\n${lines}`, { mode: 0o600 });
  return path;
}

test("prints its help and its version", LIMIT, async () => {
  const [help, version] = await Promise.all([collector(["--help"]), collector(["--version"])]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: collector \[options\] CONFIG_FILE$/m);
  assert.deepEqual(version, { code: 0, stdout: VERSION, stderr: [] });
});

test("refuses a command line it does not understand, and names --help", LIMIT, async () => {
  const [none, two, unknown] = await Promise.all([
    collector([]),
    collector(["a.ini", "b.ini"]),
    collector(["--check", "a.ini"]),
  ]);
  assertRefusal(none, /^collector: no configuration file/, "collector");
  assertRefusal(two, /^collector: one configuration file, please, not a\.ini and b\.ini\.$/, "collector");
  assertRefusal(unknown, /^collector: .*--check/, "collector");
});

test("refuses a broken configuration, and an output it cannot open, in one line", LIMIT, async () => {
  using directory = temporaryDirectory();
  using elsewhere = temporaryDirectory();
  const noKeys = configure(directory.path, "");
  const noOutput = configure(elsewhere.path, `key.k = ${KEY_BASE64}\n`, elsewhere.path);
  const [keys, output, missing] = await Promise.all([
    collector([noKeys]),
    collector([noOutput]),
    collector([join(directory.path, "absent.ini")]),
  ]);
  assertRefusal(keys, /^collector: .*config\.ini: \[event-collector\] key\.NAME: expected one or more keys/);
  assertRefusal(output, /^collector: Cannot open .* for appending/);
  assertRefusal(missing, /^collector: .*absent\.ini: .*there is no such file$/);
});

test("refuses a taken port in one line, with 2", LIMIT, async () => {
  using directory = temporaryDirectory();
  await using taken = await ScriptedCollector.open();
  const file = configure(directory.path, `listen = 127.0.0.1:${taken.port}\nkey.k = ${KEY_BASE64}\n`);
  assertRefusal(
    await collector([file]),
    /^collector: listen: cannot listen on 127\.0\.0\.1:\d+: the address is taken/,
  );
});

test("answers until SIGTERM or SIGINT, then exits 0; the secret is in no output", LIMIT, async () => {
  using directory = temporaryDirectory();
  const file = configure(directory.path, `listen = 127.0.0.1:0\nkey.k = ${KEY_BASE64}\n`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using program = start("src/cli/collector.ts", ["--debug", file]);
    const response = await fetch(new URL("/v2", await addressOf(program)), { method: "POST", body: "[]" });
    assert.equal(response.status, 403);
    await response.body?.cancel();
    assert.equal(await stop(program, signal), 0);
    assert.ok(!program.stderr.join().includes(KEY_BASE64));
  }
});
