import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type Program, start } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

// It runs examples/service.ts, whose `from "eventspool"` is src/ under Bun and the built dist/ elsewhere.
const onlyBun = {
  skip: process.versions.bun === undefined && "the demo is `bun run demo`",
  timeout: 180_000,
};

test(
  "delivers every event although the publisher is killed, and leaves nothing behind",
  onlyBun,
  async () => {
    using directory = temporaryDirectory();
    await using demo = startDemo(directory.path, ["--requests", "300"]);

    assert.equal(await demo.ended, 0, allOutput(demo));
    const output = demo.stdout.join("\n");
    assert.match(output, /^ {2}300 requests, 300 of them answered "201 Created"$/m);
    assert.match(output, /^ {2}300 events put$/m);
    assert.match(output, /^ {2}300 events delivered/m);
    assert.match(output, /^ {2}0 lost$/m);
    assert.match(output, /^The publisher is killed \(SIGKILL\) with [1-9]\d* events on their way/m);
    assert.match(output, /GET \/health {2}200 {2}\{"status":"ok"/);
    assert.match(output, /GET \/depth {2}200 {2}\{"queue":"main","depth":0,/);
    assert.equal(processIds(demo).length, 4, "the service, the collector and two publishers");
    assertNothingIsLeft(demo, directory.path);
  },
);

test("ends its processes and removes its files on Ctrl-C", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path);
  await demo.line(/^The service gets 6000 requests/);

  demo.child.kill("SIGINT");
  assert.equal(await demo.ended, 130, allOutput(demo));
  assertNothingIsLeft(demo, directory.path);
});

test("fails when one of its processes does, and says which", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path);
  await demo.line(/^The service gets 6000 requests/);

  process.kill(processIds(demo, "collector")[0]!, "SIGKILL");
  assert.equal(await demo.ended, 1, allOutput(demo));
  assert.match(demo.stderr.join("\n"), /^demo: The collector ended with signal SIGKILL\. It said:$/m);
  assertNothingIsLeft(demo, directory.path);
});

test("rejects a number of requests that is none", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path, ["--requests", "many"]);
  assert.equal(await demo.ended, 2);
  assert.match(demo.stderr.join("\n"), /^demo: --requests takes an integer from 2 to 1000000, not "many"\.$/);
});

function startDemo(directory: string, args: string[] = []): Program {
  return start("examples/demo/demo.ts", args, { TMPDIR: directory });
}

function allOutput({ stdout, stderr }: Program): string {
  return [...stdout, ...stderr].join("\n");
}

/** The ids of the processes that the demo said it started. */
function processIds(demo: Program, name: string = "\\w+"): number[] {
  const line = new RegExp(`^ {2}${name} .*\\(process (\\d+)\\)$`);
  return demo.stdout.flatMap((text) => line.exec(text)?.[1] ?? []).map(Number);
}

function assertNothingIsLeft(demo: Program, directory: string): void {
  for (const id of processIds(demo)) assert.throws(() => process.kill(id, 0), { code: "ESRCH" });
  assert.deepEqual(readdirSync(directory), []);
}
