import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { logFormatter } from "../../../src/commands/logging.ts";
import { queue } from "../../runtime/commands/queue/queue_support.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { eventually } from "../../support/eventually.ts";
import fc from "../../support/fast_check.ts";
import { outputOf } from "../../support/processes.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 600_000 };

/** What changes a terminal, or how it shows what follows; lines end with a line feed. */
const RAW = /[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u;

const HOSTILE = '\u001b]0;owned\u0007 \u009b2J \u202e\u2066 \u007f \b\r\n\t"\\';

/** Texts of all kinds of characters, the same ones in each run. */
const TEXTS = [
  HOSTILE,
  ...fc.sample(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), { numRuns: 40, seed: 1 }),
];

/** A directory whose name is hostile, with a queue full of such texts and a file that is no queue. */
function fill(parent: string): Spool {
  const directory = join(parent, "x\u001b[31m\u202e\u009b\ny");
  mkdirSync(directory);
  const spool = new Spool({ directory });
  insertDeadLetters(directory, [...TEXTS, ...TEXTS.map((text) => JSON.stringify(text))], {
    status: 422,
    response: HOSTILE,
  });
  for (const text of TEXTS) spool.queue.put(Buffer.from(JSON.stringify({ text })));
  for (const text of TEXTS) spool.queue.put(Buffer.from(text)); // most of them no JSON
  spool.queue.put(new Uint8Array([0x22, 0xc2, 0x9b, 0xe2, 0x80, 0xae, 0x22])); // JSON with a raw C1 and a bidi control
  spool.queue.put(new Uint8Array([0xff, 0x1b, 0x5b, 0x32, 0x4a])); // no UTF-8
  writeFileSync(join(directory, "events-broken.db"), HOSTILE.repeat(100));
  return spool;
}

const COMMANDS: readonly (readonly string[])[] = [
  ["list"],
  ["depth"],
  ["check"],
  ["check", "--queue-name", "broken"],
  ["depth", "--queue-name", "broken"],
  ["depth", "--queue-name", HOSTILE],
  ["peek", "--number", "200"],
  ["status"],
  ["dead", "list"],
  ["dead", "list", "--all"],
  ["dead", "show", "1", "2", "3", "4", "5", "6"],
  ["dead", "show", HOSTILE],
  ["dead", "export"],
  ["dead", "retry", "999999"],
  ["purge"],
  ["put", "--max-event-bytes", "1"],
  ["drain", "--to", `/nowhere/${HOSTILE.replaceAll("\0", "")}`],
  [HOSTILE],
  [`--${HOSTILE}`],
];

function assertHarmless(printed: string, what: string): void {
  assert.notEqual(printed, "", what);
  assert.doesNotMatch(printed, RAW, what);
}

for (const json of [[], ["--json"]])
  test(`prints no control character, whatever is in events, answers and names ${json}`, LIMIT, async () => {
    using parent = temporaryDirectory();
    using spool = fill(parent.path);
    for (const command of COMMANDS) {
      const { stdout, stderr } = await queue(spool, [...command, ...json], `${HOSTILE}\n`);
      assertHarmless(stdout + stderr, command.join(" "));
      if (json.length > 0) for (const line of stdout.split("\n").filter(Boolean)) JSON.parse(line);
    }
  });

const noScript =
  spawnSync("script", ["--version"]).status !== 0 && "script is missing: apt-get install bsdutils";

test("drains to a terminal without control characters, and to a pipe byte for byte", {
  ...LIMIT,
  skip: noScript,
}, () => {
  const body = Buffer.from(JSON.stringify("\u009b2J \u202e"));
  const drain = (wrap: (command: string) => [string, string[]]): Buffer => {
    using spool = new Spool();
    spool.queue.put(body);
    const [file, args] = runtimeCommand(new URL("../../../src/commands/queue.ts", import.meta.url), [
      ...["drain", "--to", "-", "--directory", spool.directory, "--queue-name", "main"],
    ]);
    const [command, commandArgs] = wrap([file, ...args].map((word) => `'${word}'`).join(" "));
    return spawnSync(command, commandArgs, { stdio: ["ignore", "pipe", "ignore"] }).stdout;
  };
  assert.deepEqual(
    drain((command) => ["sh", ["-c", command]]),
    Buffer.concat([body, Buffer.from("\n")]),
  );
  const shown = drain((command) => ["script", ["-qec", command, "/dev/null"]]).toString();
  assert.doesNotMatch(shown, /[\u0080-\u009f\p{Bidi_Control}]/u);
  assert.match(shown, /"\\u009b2J \\u202e"/);
});

test("colours lines on a terminal only, unless NO_COLOR or FORCE_COLOR says otherwise", {
  ...LIMIT,
  skip: noScript,
}, () => {
  using spool = new Spool();
  const args = ["list", "--directory", spool.directory];
  const [file, words] = runtimeCommand(new URL("../../../src/commands/queue.ts", import.meta.url), args);
  const command = [file, ...words].map((word) => `'${word}'`).join(" ");
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  const isColored = (program: string, programArgs: string[], env: Record<string, string> = {}): boolean => {
    const { stdout } = spawnSync(program, programArgs, { env: { ...inherited, ...env }, encoding: "utf8" });
    return stdout.includes("\u001b[1mQUEUE");
  };
  const onTerminal = ["-qec", command, "/dev/null"];
  const onPipe = ["-c", command];
  assert.equal(isColored("script", onTerminal), true);
  assert.equal(isColored("script", onTerminal, { NO_COLOR: "1" }), false);
  assert.equal(isColored("sh", onPipe), false);
  assert.equal(isColored("sh", onPipe, { FORCE_COLOR: "1" }), true);
});

test("rejects a configuration without printing its control characters", LIMIT, async () => {
  using spool = new Spool();
  for (const settings of [{ "unknown\u202e\u009b": "x" }, { "collector.version": "\u001b[2J\u202e" }]) {
    await using publisher = spool.publisher({ "collector.hostname": "127.0.0.1:9", ...settings }, [
      "--check",
    ]);
    await publisher.ended;
    assertHarmless(outputOf(publisher), JSON.stringify(settings));
  }
});

test("logs no control character that a collector says", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const body = `{"error":"${HOSTILE}"}`;
  const statuses = [503, 403, 422];
  collector.script = () => ({ status: statuses.shift() ?? 200, body });
  await using publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` }, [
    "--debug",
  ]);
  spool.put(1);
  await eventually("the dead letter", () => spool.deadLetters().length > 0);
  publisher.signal("SIGTERM");
  await publisher.ended;
  assertHarmless(outputOf(publisher), "the log");
});

test("formats no control character into a line for a terminal but the colours", () => {
  const format = logFormatter({ terminal: true, colors: false });
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (text, value) => {
      const record = {
        category: ["eventspool"],
        level: "warning" as const,
        message: [text, value, text, [value], text, { [value]: text, error: new Error(text) }, ""],
        rawMessage: "",
        timestamp: 0,
        properties: {},
      };
      assert.doesNotMatch(format(record).trimEnd(), /[\p{Cc}\p{Bidi_Control}]/u);
    }),
  );
});
