import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { VERSION } from "../../../src/version.ts";
import { assertRejection, type Result, runCommand } from "../../support/commands.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { start, startCommand } from "../../support/processes.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 300_000 };
const NOT_ROOT =
  process.platform !== "linux" || process.getuid?.() !== 0 ? "only root can run as another user" : false;

const SECTION = `[event-publisher:main]
collector.hostname = collector.example
key.name = ${KEY.name}
key.secret = ${KEY_BASE64}
admin.listen = off
`;

const publisher = (args: readonly string[]): Promise<Result> => runCommand("publisher", args);

/** A directory with a file `config.ini` of the given text, or of another name. */
function withFile(text: string, name = "config.ini"): { path: string; file: string } & Disposable {
  const directory = temporaryDirectory();
  const file = join(directory.path, name);
  writeFileSync(file, text, { mode: 0o600 });
  return { path: directory.path, file, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

test("prints its help and its version", LIMIT, async () => {
  const [help, version] = await Promise.all([publisher(["--help"]), publisher(["--version"])]);
  assert.equal(help.code, 0);
  for (const option of ["--queue-name", "--directory", "--check", "--debug", "--version", "--help"]) {
    assert.ok(help.stdout.includes(option), option);
  }
  assert.deepEqual(version, { code: 0, stdout: VERSION, stderr: [] });
});

test("rejects a command line it does not understand, and names --help", LIMIT, async () => {
  using directory = withFile(SECTION);
  const [none, two, misspelt, shortened, unlike, empty] = await Promise.all([
    publisher([]),
    publisher([directory.file, directory.file]),
    publisher(["--chekc", directory.file]),
    publisher(["--queue", "v2", directory.file]),
    publisher(["-x", directory.file]),
    publisher(["--directory=", directory.file]),
  ]);
  assertRejection(none, /no configuration file/, { isUsage: true });
  assertRejection(two, /expected one configuration file, got/, { isUsage: true });
  assertRejection(misspelt, /unknown option --chekc: did you mean --check\?$/, { isUsage: true });
  assertRejection(shortened, /unknown option --queue: did you mean --queue-name\?$/, { isUsage: true });
  assertRejection(unlike, /unknown option -x\.$/, { isUsage: true });
  assertRejection(empty, /--directory is empty/, { isUsage: true });
});

test("rejects a taken admin port in one line, with 2", LIMIT, async () => {
  await using taken = await ScriptedCollector.open();
  const admin = `127.0.0.1:${taken.port}`;
  using directory = withFile(SECTION.replace("= off", `= ${admin}`));
  const result = await publisher(["--directory", directory.path, directory.file]);
  assertRejection(result, new RegExp(`admin.listen: cannot listen on ${admin}: the address is in use`));
});

test(
  "rejects a queue directory that is not there, and a file that is not a queue, with 2",
  LIMIT,
  async () => {
    using directory = withFile(SECTION);
    const garbage = join(directory.path, "garbage");
    mkdirSync(garbage);
    writeFileSync(
      join(garbage, "events-main.db"),
      "not a database, but long enough for its header\n".repeat(9),
    );
    const [missing, notQueue] = await Promise.all([
      publisher(["--directory", join(directory.path, "absent"), directory.file]),
      publisher(["--directory", garbage, directory.file]),
    ]);
    assertRejection(missing, /The queue directory .*absent does not exist: create it/);
    assertRejection(notQueue, /The queue file .*events-main\.db is not a queue file/);
  },
);

test(
  "--check finds what a start would: a missing directory, a file that is not a queue, a taken port",
  LIMIT,
  async () => {
    using directory = withFile(SECTION);
    await using taken = await ScriptedCollector.open();
    const admin = join(directory.path, "admin.ini");
    writeFileSync(admin, SECTION.replace("= off", `= 127.0.0.1:${taken.port}`), { mode: 0o600 });
    const broken = join(directory.path, "broken");
    mkdirSync(broken);
    writeFileSync(
      join(broken, "events-main.db"),
      "not a database, but long enough for its header\n".repeat(9),
    );
    const checkIn = (path: string, file = directory.file) =>
      publisher(["--check", "--directory", path, file]);
    const [missing, notQueue, port] = await Promise.all([
      checkIn(join(directory.path, "absent")),
      checkIn(broken),
      checkIn(directory.path, admin),
    ]);
    assertRejection(missing, /queue\.directory: .*absent does not exist: create it/);
    assertRejection(notQueue, /events-main\.db is not a queue file/);
    assertRejection(port, /admin\.listen: cannot listen on .*the address is in use/);
  },
);

test("--check names owner, mode and user where a start may not write", {
  ...LIMIT,
  skip: NOT_ROOT,
}, async () => {
  using directory = withFile(SECTION);
  using places = temporaryDirectory();
  for (const path of [directory.path, places.path]) chmodSync(path, 0o755);
  chmodSync(directory.file, 0o644);
  const file = new URL("../../../src/commands/publisher.ts", import.meta.url);
  const [command, args] = runtimeCommand(file, ["--check", "--directory", places.path, directory.file]);
  const user = ["--reuid=65534", "--regid=65534", "--clear-groups", command];
  const env = { HOME: "/tmp", DENO_DIR: "/tmp/deno-of-nobody" };
  await using program = startCommand(["setpriv", [...user, ...args]], { env });
  assert.equal(await program.ended, 2);
  const expected = /: cannot read and write .*: owner uid 0, mode 0755, this process's uid 65534 \(EACCES\)/;
  assert.match(program.stderr.join("\n"), expected);
});

test("--check passes beside a running publisher, and --strict makes warnings errors", LIMIT, async () => {
  using directory = withFile(`${SECTION.replace("= off", "= 127.0.0.1:0")}collector.hostnam = x\n`);
  const at = ["--directory", directory.path];
  await using program = start("src/commands/publisher.ts", [...at, directory.file]);
  const { port } = await addressOf(program);
  await publishing(program);
  const running = join(directory.path, "running.ini");
  writeFileSync(running, SECTION.replace("= off", `= 127.0.0.1:${port}`), { mode: 0o600 });
  const [beside, lenient, ...strict] = await Promise.all([
    publisher(["--check", "--strict", ...at, running]),
    publisher(["--check", ...at, directory.file]),
    publisher(["--check", "--strict", ...at, directory.file]),
    publisher(["--strict", ...at, directory.file]),
  ]);
  assert.equal(beside!.code, 0, beside!.stderr.join("\n"));
  assert.equal(lenient!.code, 0);
  for (const { code, stdout, stderr } of strict) {
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(
      stderr.join("\n"),
      /^warning: .*did you mean collector\.hostname\?\n.*: 1 warning, and with --strict/,
    );
  }
});

test("logs at its start which file it reads, and warns of likely mistakes", LIMIT, async () => {
  using directory = withFile(`${SECTION}collector.hostnam = x\n{x} = braces\n`);
  await using program = start("src/commands/publisher.ts", ["--directory", directory.path, directory.file]);
  await publishing(program);
  await program.line(/did you mean collector\.hostname\?/);
  await program.line(/main\] \{x\}: unknown key/);
  assert.ok((await program.line(/"Publishing queue /)).includes(join(directory.path, "events-main.db")));
  assert.equal(await stop(program), 0);
});
