import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { EventQueue, type EventSerializer } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { VERSION } from "../../../src/version.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { start, startCommand } from "../../support/processes.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { addressOf, publishing, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { readVectors } from "../../support/vectors.ts";
import { assertRejection, type Result } from "./support.ts";

const LIMIT = { timeout: 180_000 };
const NOT_ROOT =
  process.platform !== "linux" || process.getuid?.() !== 0 ? "only root can run as another user" : false;

const SECTION = `[event-publisher:main]
collector.hostname = collector.example
key.name = ${KEY.name}
key.secret = ${KEY_BASE64}
admin.listen = off
`;

async function publisher(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  await using program = start("src/commands/publisher.ts", args, env);
  const code = await program.ended;
  return { code, stdout: program.stdout.join("\n"), stderr: program.stderr };
}

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

test("--check prints the configuration as JSON, without the secret", LIMIT, async () => {
  using directory = withFile(
    `${SECTION}max_queue_size = 5\nmetrics.namespace = a.b\nmetrics.endpoint = s:8125\n`,
  );
  const { code, stdout, stderr } = await publisher([
    "--check",
    "--directory",
    directory.path,
    directory.file,
  ]);
  assert.equal(code, 0);
  assert.deepEqual(stderr, []);
  const { url, queue, file, key_name, max_queue_size, metrics } = JSON.parse(stdout);
  assert.deepEqual(
    { url, queue, file, key_name, max_queue_size, metrics },
    {
      url: "https://collector.example/v2",
      queue: "main",
      file: join(directory.path, "events-main.db"),
      key_name: KEY.name,
      max_queue_size: 5,
      metrics: {
        namespace: "a.b",
        endpoint: "s:8125",
        log_if_unconfigured: false,
        swallow_network_errors: false,
      },
    },
  );
  assert.ok(!stdout.includes(KEY_BASE64) && !stdout.includes(KEY.secret.toString()));
});

test(
  "a version of collector that the queue's serializer does not write is found at the start and by --check",
  LIMIT,
  async () => {
    for (const [serialize, event, written, other] of [
      [serializeJsonEvent, { a: 1 }, "2j", "2"],
      [serializeV2Event, new Thing(), "2", "2j"],
    ] as const) {
      using directory = withFile(`${SECTION}collector.version = ${other}\n`);
      using queue = new EventQueue<never>("main", serialize as EventSerializer<unknown>, {
        directory: directory.path,
      });
      queue.put(event as never);
      for (const args of [["--check"], []]) {
        const result = await publisher([...args, "--directory", directory.path, directory.file]);
        assert.equal(result.code, 2, result.stderr.join("\n"));
        assert.match(
          result.stderr.join("\n"),
          new RegExp(`collector.version: is ${other}, .* set collector.version = ${written}`),
        );
      }
      const right = join(directory.path, "right.ini");
      writeFileSync(right, `${SECTION}collector.version = ${written}\n`, { mode: 0o600 });
      const result = await publisher(["--check", "--directory", directory.path, right]);
      assert.equal(result.code, 0, result.stderr.join("\n"));
    }
  },
);

/** A struct without fields. */
class Thing {
  write(output: { writeStructBegin(name: string): void; writeStructEnd(): void }): void {
    output.writeStructBegin("Thing");
    output.writeStructEnd();
  }
}

test("--check reads TOML, and the section of --queue-name", LIMIT, async () => {
  const text = SECTION.replace("[event-publisher:main]", "[event-publisher.v2]").replaceAll(
    / = (.*)/g,
    ' = "$1"',
  );
  using directory = withFile(text, "config.toml");
  const { code, stdout } = await publisher(["--check", "--queue-name", "v2", directory.file]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).queue, "v2");
});

test("finds the queue in --directory, else in the file's, else in the environment's", LIMIT, async () => {
  using places = temporaryDirectory();
  const [option, file, environment] = ["option", "file", "environment"].map((name) => {
    mkdirSync(join(places.path, name));
    return join(places.path, name);
  });
  using plain = withFile(SECTION);
  using named = withFile(`${SECTION}queue.directory = ${file}\n`);
  const env = { EVENTSPOOL_DIR: environment! };
  const results = await Promise.all([
    publisher(["--check", "--directory", option!, named.file], env),
    publisher(["--check", named.file], env),
    publisher(["--check", plain.file], env),
  ]);
  assert.deepEqual(
    results.map(({ stdout }) => JSON.parse(stdout).file),
    [option, file, environment].map((place) => `${place}/events-main.db`),
  );
});

test("rejects a broken configuration in one line that says where", LIMIT, async () => {
  using other = withFile(SECTION.replace(":main", ":other"));
  using badSecret = withFile(SECTION.replace(KEY_BASE64, "Zm9v!"));
  using unset = withFile(SECTION.replace("collector.example", "$NO_SUCH_VARIABLE_HERE"));
  using badToml = withFile("[event-publisher.main\n", "config.toml");
  const [section, secret, variable, missing, toml, name] = await Promise.all([
    publisher(["--check", other.file]),
    publisher(["--check", badSecret.file]),
    publisher(["--check", unset.file]),
    publisher(["--check", join(other.path, "absent.ini")]),
    publisher(["--check", badToml.file]),
    publisher(["--check", "--queue-name", "../x", other.file]),
  ]);
  assertRejection(section, /config\.ini: \[event-publisher:main\] .*the file has \[event-publisher:other\]$/);
  assertRejection(secret, /config\.ini:4: \[event-publisher:main\] key\.secret: is not Base64/);
  assert.ok(!secret.stderr.join().includes("Zm9v"), "not even a broken secret is shown");
  assertRejection(variable, /config\.ini:2: .*collector\.hostname: .*NO_SUCH_VARIABLE_HERE is not set$/);
  assertRejection(missing, /absent\.ini: .*the file does not exist$/);
  assertRejection(toml, /config\.toml:1/);
  assertRejection(name, /"\.\.\/x" is not a queue name/);
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

interface ConfigVector {
  readonly name: string;
  readonly ini: string;
  readonly env: Record<string, string>;
  readonly args: readonly string[];
  readonly outcome: { readonly ok: boolean; readonly exit?: number; readonly url?: string };
}

/** What the command adds to the reading that test/unit/config/vectors.test.ts has for all of them. */
const THROUGH_THE_COMMAND = [
  "bad_args_no_file",
  "minimal",
  "hostname_with_path",
  "env_braces",
  "env_plain",
  "crlf",
  "duplicate_option",
  "empty_file",
];

for (const name of THROUGH_THE_COMMAND) {
  const { ini, env, args, outcome } = readVectors<ConfigVector[]>("config").find(
    (vector) => vector.name === name,
  )!;
  test(`ends on ${name} as baseplate.py does`, LIMIT, async () => {
    using directory = withFile(ini);
    const files = name === "bad_args_no_file" ? [] : [directory.file];
    const result = await publisher(["--check", ...args, ...files], {
      EVENTSPOOL_DIR: directory.path,
      ...env,
    });
    assert.equal(result.code, outcome.ok ? 0 : 2);
    if (outcome.ok) assert.equal(JSON.parse(result.stdout).url, outcome.url);
    else assertRejection(result, /./, { isUsage: outcome.exit !== undefined });
  });
}

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

test("tells at its start which file it reads, and warns of what is likely not meant", LIMIT, async () => {
  using directory = withFile(`${SECTION}collector.hostnam = x\n{x} = braces\n`);
  await using program = start("src/commands/publisher.ts", ["--directory", directory.path, directory.file]);
  await publishing(program);
  await program.line(/did you mean collector\.hostname\?/);
  await program.line(/main\] \{x\}: unknown key/);
  assert.ok((await program.line(/"Publishing queue /)).includes(join(directory.path, "events-main.db")));
  assert.equal(await stop(program), 0);
});
