import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { NO_NATS } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const BUNS = process.versions.bun === undefined && "the demo is `bun run demo:cluster`";
const LIMIT = { skip: BUNS || NO_NATS, timeout: 180_000 };

test("puts, stores and counts as many events, each once, although one of each is killed", LIMIT, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path, ["--events", "2003"]);
  assert.equal(await demo.ended, 0, allOutput(demo));

  const output = demo.stdout.join("\n");
  assert.match(output, /collector-2 is killed \(SIGKILL\)/);
  assert.match(output, /(nats-\d), which leads the stream, is killed \(SIGKILL\)/);
  assert.match(output, /nats-\d leads the stream, [\d.]+ s later/);
  assert.match(output, /The publisher of host-1 is killed \(SIGKILL\) with [\d,]+ events in its queue/);
  assert.match(output, /^ {2}2,003 events put by 5 hosts$/m);
  assert.match(output, /^ {2}2,003 in the stream: 0 lost, 0 twice, told apart by their uuid$/m);
  assert.match(output, /^ {2}2,003 counted by the rollup:$/m);
  assert.match(output, /^ {4}[\dT-]+h {2}view article {2}1,20\d$/m);
  assert.match(output, /^Put = stored = counted\./m);
  assertNothingIsLeft(demo, directory.path);
});

test("ends the fleet's processes and removes its files on Ctrl-C", LIMIT, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path);
  await demo.line(/^Five hosts put 20,000 events/);

  demo.child.kill("SIGINT");
  assert.equal(await demo.ended, 130, allOutput(demo));
  assert.equal(processIds(demo).length, 6, "three servers and three collectors");
  assertNothingIsLeft(demo, directory.path);
});

test("says how to get nats-server where it is not installed", { skip: BUNS }, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path, [], { NATS_SERVER: "/nowhere/nats-server" });
  assert.equal(await demo.ended, 2);
  assert.match(
    demo.stderr.join("\n"),
    /^demo: nats-server is not installed\. Debian, Ubuntu: apt-get install/m,
  );
});

test("rejects a number of events that is none", { skip: BUNS }, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path, ["--events", "many"]);
  assert.equal(await demo.ended, 2);
  const problem = 'demo: --events takes an integer from 100 to 10000000, not "many".';
  assert.deepEqual(demo.stderr, [problem]);
});

test("rejects an option that there is not, and says which there is", { skip: BUNS }, async () => {
  using directory = temporaryDirectory();
  await using demo = startDemo(directory.path, ["--event", "100"]);
  assert.equal(await demo.ended, 2);
  assert.match(demo.stderr.join("\n"), /^demo: Unknown option '--event'.*There is --events\.$/m);
});

function startDemo(directory: string, args: string[] = [], env: Record<string, string> = {}): Program {
  return start("examples/demo/demo_cluster.ts", args, { TMPDIR: directory, ...env });
}

function allOutput({ stdout, stderr }: Program): string {
  return [...stdout, ...stderr].join("\n");
}

/** The ids of the processes that the demo said it started. */
function processIds(demo: Program): number[] {
  return demo.stdout.flatMap((text) => /^ {2}\S+ .*\(process (\d+)\)$/.exec(text)?.[1] ?? []).map(Number);
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
