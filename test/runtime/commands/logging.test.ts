import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { LogRecord } from "@logtape/logtape";
import { logFormatter } from "../../../src/commands/logging.ts";
import { runtimeCommand } from "../../support/runtimes.ts";

const child = new URL("../../support/programs/logging_program.ts", import.meta.url);

function start(...args: string[]) {
  const [command, commandArgs] = runtimeCommand(child, args);
  return spawn(command, commandArgs, { stdio: ["pipe", "pipe", "pipe"] });
}

async function readLog(...args: string[]): Promise<Record<string, unknown>[]> {
  const { stdout, stderr } = start(...args);
  const [log, output] = await Promise.all([text(stderr), text(stdout)]);
  assert.equal(output, "came to its end");
  return log
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("writes JSON lines when stderr is no terminal", async () => {
  const [sent, failed, ...rest] = await readLog();
  assert.deepEqual(rest, []);
  assert.match(String(sent?.["@timestamp"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(
    { ...sent, "@timestamp": "" },
    {
      "@timestamp": "",
      level: "INFO",
      message: 'sent 3 events to "http://a/v2"',
      logger: "eventspool.publisher",
      properties: { count: 3, url: "http://a/v2", big: "1152921504606846976" },
    },
  );
  assert.equal(failed?.level, "ERROR");
  assert.equal((failed?.properties as { error: Error } | undefined)?.error.message, "line one\nline two");
});

test("writes details with --debug", async () => {
  const lines = await readLog("--debug");
  assert.equal(lines[0]?.message, "a detail");
  assert.equal(lines.length, 103);
});

test("comes to its end when the log's reader is gone", async () => {
  const { stdin, stdout, stderr } = start("--debug", "--wait");
  await once(stderr, "data");
  stderr.destroy();
  stdin.end();
  assert.equal(await text(stdout), "came to its end");
});

const record: LogRecord = {
  category: ["eventspool", "publisher"],
  level: "warning",
  message: ["retrying ", "http://a/v2\u001b[2J", ""],
  rawMessage: "retrying {url}",
  timestamp: 0,
  properties: {},
};

test("writes plain text on a terminal without colours", () => {
  const line = logFormatter({ terminal: true, colors: false })(record);
  assert.match(
    line,
    /^\d\d:\d\d:00\.000 \[WRN\] eventspool\.publisher: retrying http:\/\/a\/v2\\u001b\[2J\n$/,
  );
});

test("writes coloured text on a terminal", () => {
  assert.ok(logFormatter({ terminal: true, colors: true })(record).includes("\u001b[33m"));
});
