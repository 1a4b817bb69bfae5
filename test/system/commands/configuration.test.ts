import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventQueue, type EventSerializer } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { assertRejection, type Result, runCommand } from "../../support/commands.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { readVectors } from "../../support/vectors.ts";

const LIMIT = { timeout: 600_000 };

const SECTION = `[event-publisher:main]
collector.hostname = collector.example
key.name = ${KEY.name}
key.secret = ${KEY_BASE64}
admin.listen = off
`;

const publisher = (args: readonly string[], env: Record<string, string> = {}): Promise<Result> =>
  runCommand("publisher", args, env);

/** A directory with a file `config.ini` of the given text, or of another name. */
function withFile(text: string, name = "config.ini"): { path: string; file: string } & Disposable {
  const directory = temporaryDirectory();
  const file = join(directory.path, name);
  writeFileSync(file, text, { mode: 0o600 });
  return { path: directory.path, file, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

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
  assertRejection(
    section,
    /config\.ini: \[event-publisher:main\] .*the file has \[event-publisher:other\]; name the queue with --queue-name/,
  );
  assertRejection(secret, /config\.ini:4: \[event-publisher:main\] key\.secret: is not Base64/);
  assert.ok(!secret.stderr.join().includes("Zm9v"), "not even a broken secret is shown");
  assertRejection(variable, /config\.ini:2: .*collector\.hostname: .*NO_SUCH_VARIABLE_HERE is not set$/);
  assertRejection(missing, /absent\.ini: .*the file does not exist$/);
  assertRejection(toml, /config\.toml:1/);
  assertRejection(name, /"\.\.\/x" is not a queue name/);
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
