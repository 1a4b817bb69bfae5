/**
 * `bun run test [SUITE ...]`: the checks that gate a change, or the named ones. Suites run side by side;
 * each prints one line when it ends, and all of its output if it failed. The last line is
 * `N passed, N failed`; the exit code is 1 if any failed, 2 for an unknown suite.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { changedTests } from "./test/changed_tests.ts";
import { type Result, runSuite, stopSuites } from "./test/run_suite.ts";
import { CONCURRENT_SUITES, FULL, GATE, getRuntimes, SUITES, type Suite } from "./test/suites.ts";

const SLOWEST = 10;

const names = process.argv.slice(2).flatMap((name) => (name === "full" ? Object.keys(FULL) : [name]));
const unknown = names.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  const all = ["full", ...Object.keys(SUITES)].join(", ");
  console.error(`unknown suite: ${unknown.join(", ")}. The suites are ${all}`);
  process.exit(2);
}
if (names.join() === "changed" && changedTests().length === 0) {
  console.log("No test can reach what is not committed.\n\n0 passed, 0 failed");
  process.exit(0);
}
if (process.argv.includes("full")) process.env.EVENTSPOOL_SEED ??= "random"; // see test/support/fast_check.ts
const directory = mkdtempSync(join(tmpdir(), "eventspool-test-"));
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    stopSuites();
    process.exit(1);
  });
}

const chosen = [...new Set(names.length > 0 ? names : Object.keys(GATE))];
getRuntimes(chosen);
const results = await runAll(chosen);
printSlowest(results);
const hasFailed = results.some(({ failed }) => failed > 0);
if (hasFailed) console.log(`\nEverything that the suites printed is in ${directory}`);
else rmSync(directory, { recursive: true });
const { passed, failed, skipped } = results.reduce(add);
if (skipped > 0) console.log(`\n${skipped} skipped: this machine or runtime lacks what they need`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(hasFailed ? 1 : 0);

/** Runs suites in their order, as many at a time as may run at once. */
async function runAll(queue: readonly string[]): Promise<Result[]> {
  const waiting = [...queue];
  const finished: Result[] = [];
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const result = await runSuite(name, SUITES[name] as Suite, directory);
      const seconds = `${result.seconds.toFixed(1).padStart(6)} s`;
      console.log(
        `${result.failed > 0 ? "FAILED" : "ok    "} ${name.padEnd(14)} ${seconds}   ${counts(result)}`,
      );
      if (result.failed > 0) console.log(result.output);
      finished.push(result);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_SUITES }, work));
  return finished;
}

function printSlowest(results: readonly Result[]): void {
  const files = results.flatMap(({ files }) => files).toSorted((a, b) => b.seconds - a.seconds);
  if (files.length === 0) return;
  console.log("\nThe slowest files:");
  for (const { name, seconds } of files.slice(0, SLOWEST)) {
    console.log(`${seconds.toFixed(1).padStart(6)} s   ${name}`);
  }
}

function add(a: Result, b: Result): Result {
  return {
    ...a,
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
  };
}

function counts({ passed, failed, skipped }: Result): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
