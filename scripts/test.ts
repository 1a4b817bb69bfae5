/**
 * `bun run test [SUITE ...]`: every check there is, or the named ones: lint, generated, types, package, bun,
 * deno, node, node22. The same test files run under all three runtimes; Deno and Node come from npm, pinned. The
 * last line sums up, `N passed, N failed`, and the exit code is 1 if any failed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DENO, NODE } from "./runtimes.ts";

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A command of Bun's; with a report it is a test runner, else one check that passes or fails. */
type Suite = (report: string) => { readonly args: readonly string[]; readonly reports: boolean };

const check = (...args: string[]): Suite => {
  return () => ({ args, reports: false });
};
const runner = (args: (report: string) => string[]): Suite => {
  return (report) => ({ args: args(report), reports: true });
};

const SUITES: Readonly<Record<string, Suite>> = {
  lint: check("x", "biome", "check", "--error-on-warnings", "."),
  generated: check("scripts/generate.ts", "--check"),
  types: check("x", "tsc", "-p", "."),
  package: check("scripts/check_package.ts"),
  bun: runner((report) => [
    "test",
    "--parallel=4",
    "--timeout=60000",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
  ]),
  // tsc has checked the types, with Node's; Deno would do it again, with its own.
  deno: runner((report) => [
    "x",
    DENO,
    "test",
    "-A",
    "--no-check",
    `--junit-path=${report}`,
    "test/unit",
    "test/runtime",
  ]),
  node: runner((report) => [
    ...["x", NODE, "--test", "--test-reporter=spec", "--test-reporter-destination=stdout"],
    ...["--test-reporter=junit", `--test-reporter-destination=${report}`, "test/{unit,runtime}/**/*.test.ts"],
  ]),
  node22: runner((report) => ["scripts/test_oldest_node.ts", report]),
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`No such suite: ${unknown.join(", ")}. There are ${Object.keys(SUITES).join(", ")}.`);
  process.exit(2);
}

const directory = mkdtempSync(join(tmpdir(), "eventspool-test-"));
const counts = (names.length > 0 ? names : Object.keys(SUITES)).map((name): [string, Count] => {
  console.log(`\n=== ${name}`);
  return [name, run(SUITES[name] as Suite, join(directory, `${name}.xml`))];
});
rmSync(directory, { recursive: true });

console.log("");
for (const [name, count] of counts) console.log(`${name.padEnd(10)} ${describe(count)}`);
const total = counts.map(([, count]) => count).reduce(add);
console.log(describe(total));
process.exit(total.failed > 0 ? 1 : 0);

function run(suite: Suite, report: string): Count {
  const { args, reports } = suite(report);
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
  const isFine = status === 0;
  if (!reports) return { passed: isFine ? 1 : 0, failed: isFine ? 0 : 1, skipped: 0 };
  const count = readReport(report);
  // A runner that died, or that ran nothing, has failed, whatever it reported.
  const hasBroken = count.failed === 0 && (!isFine || count.passed === 0);
  return hasBroken ? add(count, { passed: 0, failed: 1, skipped: 0 }) : count;
}

/** Counts the test cases of a JUnit report. */
function readReport(path: string): Count {
  let xml = "";
  try {
    xml = readFileSync(path, "utf8");
  } catch {
    // no report: the runner did not get that far
  }
  const countOf = (pattern: RegExp): number => xml.match(pattern)?.length ?? 0;
  const failed = countOf(/<(failure|error)\b/g);
  const skipped = countOf(/<skipped\b/g);
  return { passed: countOf(/<testcase\b/g) - failed - skipped, failed, skipped };
}

function add(a: Count, b: Count): Count {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

function describe({ passed, failed, skipped }: Count): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
