import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { NO_NATS } from "../../support/nats.ts";
import { outputOf, type Program, start } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

// It runs examples/service.ts, whose `from "eventspool"` is src/ under Bun and the built dist/ elsewhere.
const skip = process.versions.bun === undefined && "the demos are `bun run demo` and `bun run demo:cluster`";
const onlyBun = { skip, timeout: 600_000 };
const onlyNats = { ...onlyBun, skip: skip || NO_NATS };

test(
  "delivers every event although the publisher is killed, and leaves nothing behind",
  onlyBun,
  async () => {
    using directory = temporaryDirectory();
    await using demo = startDemo("demo", directory.path, ["--requests", "300"]);

    assert.equal(await demo.ended, 0, outputOf(demo));
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
  await using demo = startDemo("demo", directory.path);
  await demo.line(/^The service gets 6000 requests/);

  demo.child.kill("SIGINT");
  assert.equal(await demo.ended, 130, outputOf(demo));
  assertNothingIsLeft(demo, directory.path);
});

test("fails when one of its processes does, and says which", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo", directory.path);
  await demo.line(/^The service gets 6000 requests/);

  process.kill(processIds(demo, "collector")[0]!, "SIGKILL");
  assert.equal(await demo.ended, 1, outputOf(demo));
  assert.match(demo.stderr.join("\n"), /^demo: The collector ended with signal SIGKILL\. It said:$/m);
  assertNothingIsLeft(demo, directory.path);
});

test("rejects an invalid number of requests", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo", directory.path, ["--requests", "many"]);
  assert.equal(await demo.ended, 2);
  assert.match(demo.stderr.join("\n"), /^demo: --requests takes an integer from 2 to 1000000, not "many"\.$/);
});

test(
  "puts, stores and counts as many events, each once, although one of each is killed",
  onlyNats,
  async () => {
    using directory = temporaryDirectory();
    await using demo = startDemo("demo_cluster", directory.path, ["--events", "2003"]);
    assert.equal(await demo.ended, 0, outputOf(demo));

    const output = demo.stdout.join("\n");
    assert.match(output, /collector-2 is killed \(SIGKILL\)/);
    assert.match(output, /(nats-\d), which leads the stream, is killed \(SIGKILL\)/);
    assert.match(output, /nats-\d leads the stream, [\d.]+ s later/);
    assert.match(output, /The publisher of host-1 is killed \(SIGKILL\) with [\d,]+ events in its queue/);
    assert.match(output, /^ {2}2,003 events put by 5 hosts$/m);
    assert.match(output, /^ {2}2,003 in the stream: 0 lost, 0 twice, told apart by their uuid$/m);
    assert.match(output, /^ {2}2,003 counted by the rollup:$/m);
    const views = output.matchAll(/^ {4}[\dT-]+h {2}view article {2}([\d,]+)$/gm); // of two hours where one ends
    const viewed = [...views].reduce((sum, [, count]) => sum + Number(count!.replaceAll(",", "")), 0);
    assert.ok(1_200 <= viewed && viewed < 1_210, `${viewed}`);
    assert.match(output, /^Put = stored = counted\./m);
    assertNothingIsLeft(demo, directory.path);
  },
);

test("ends the fleet's processes and removes its files on Ctrl-C", onlyNats, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo_cluster", directory.path);
  await demo.line(/^Five hosts put 20,000 events/);

  demo.child.kill("SIGINT");
  assert.equal(await demo.ended, 130, outputOf(demo));
  assert.equal(processIds(demo).length, 6, "three servers and three collectors");
  assertNothingIsLeft(demo, directory.path);
});

test("says how to get nats-server where it is not installed", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo_cluster", directory.path, [], { NATS_SERVER: "/nowhere/nats-server" });
  assert.equal(await demo.ended, 2);
  assert.match(
    demo.stderr.join("\n"),
    /^demo: nats-server is not installed\. Debian, Ubuntu: apt-get install/m,
  );
});

test("rejects an invalid number of events", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo_cluster", directory.path, ["--events", "many"]);
  assert.equal(await demo.ended, 2);
  const problem = 'demo: --events takes an integer from 100 to 10000000, not "many".';
  assert.deepEqual(demo.stderr, [problem]);
});

test("rejects an option that there is not, and says which there is", onlyBun, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo("demo_cluster", directory.path, ["--event", "100"]);
  assert.equal(await demo.ended, 2);
  assert.match(demo.stderr.join("\n"), /^demo: Unknown option '--event'.*There is --events\.$/m);
});

function startDemo(
  name: "demo" | "demo_cluster",
  directory: string,
  args: string[] = [],
  env: Record<string, string> = {},
): Program {
  return start(`examples/demo/${name}.ts`, args, { TMPDIR: directory, ...env });
}

/** The ids of the processes that the demo said it started. */
function processIds(demo: Program, name: string = "\\S+"): number[] {
  const line = new RegExp(`^ {2}${name} .*\\(process (\\d+)\\)$`);
  return demo.stdout.flatMap((text) => line.exec(text)?.[1] ?? []).map(Number);
}

function assertNothingIsLeft(demo: Program, directory: string): void {
  for (const id of processIds(demo)) assert.throws(() => process.kill(id, 0), { code: "ESRCH" });
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(processesNaming(directory), []);
}

/** The processes that have a directory in their environment, as all of a demo's have; none where there is no /proc. */
function processesNaming(directory: string): string[] {
  if (!existsSync("/proc/self/environ")) return [];
  return readdirSync("/proc").filter((id) => {
    try {
      return /^\d+$/.test(id) && readFileSync(`/proc/${id}/environ`, "utf8").includes(directory);
    } catch {
      return false; // it has ended meanwhile, or is somebody else's
    }
  });
}
