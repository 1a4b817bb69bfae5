/** What `bun run test` can run. Deno and Node come from npm, pinned. */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { ROOT } from "../../test/support/project.ts";
import { getRuntime, runtimePath } from "../../test/support/runtimes.ts";
import { DENO, NODE, OLDEST_NODE } from "../runtimes.ts";
import { changedTests } from "./changed_tests.ts";

/** A command, with variables that are added to our environment. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A command that passes or fails, or one that runs test files and writes a JUnit report. */
export interface Suite {
  command(report: string, files: readonly string[]): Command;
  /** The test files, which must all be in the report; undefined: there is no report. */
  readonly files?: () => readonly string[];
}

const CORES = Math.min(availableParallelism(), 4);

/** How many suites run at once: one more than cores, since tests of servers and browsers mostly wait. */
export const CONCURRENT_SUITES: number = CORES + 1;

/** How many test files a suite runs at once: most of them wait most of the time. */
const WORKERS = 2 * CORES;

/** Longer than any test takes beside others; a test that may take longer says so itself. */
const TEST_TIMEOUT_MS = 300_000;

/** Node's limit is also one of a whole file. */
const FILE_TIMEOUT_MS = 900_000;

/** Node's tests of files in one process, not in one each: a third of the time, where no test changes the process. */
const ONE_PROCESS = ["--test-isolation=none"];

/** The folders of the runtime tier whose tests leave the process as it is, and so share one under Node. */
const SHARING = "runtime/{admin,metrics,nats,publisher,server,testing,wire}";

/** What gates a change: first what fails fast, then the slowest, so that the others fill the gaps. */
export const GATE: Readonly<Record<string, Suite>> = {
  types: check("x", "tsc", "-p", "."),
  lint: check("x", "biome", "check", "--error-on-warnings", "."),
  generated: check("scripts/generate.ts", "--check"),
  node: nodeTests(() => testFiles("runtime").filter((file) => !testFiles(SHARING).includes(file))),
  system: bunTests(() => testFiles("system")),
  deno: denoTests(() => testFiles("{unit,runtime}")),
  runtime: bunTests(() => testFiles("runtime")),
  unit: bunTests(() => testFiles("unit")),
  "node-unit": nodeTests(() => testFiles("unit"), ...ONE_PROCESS),
  "node-shared": nodeTests(() => testFiles(SHARING), ...ONE_PROCESS),
  "bun-sqlite": withLibrary("bun:sqlite", bunTests(storageTests)),
  "node-sqlite": withLibrary("node:sqlite", nodeTests(storageTests, ...ONE_PROCESS)),
  "deno-sqlite": withLibrary("node:sqlite", denoTests(storageTests)),
  package: check("scripts/check_package.ts"),
};

/** The gate, with the last tier on the other runtimes too, slow tests of what rarely changes, and the faults in full. */
export const FULL: Readonly<Record<string, Suite>> = {
  ...GATE,
  installs: bunTests(() => testFiles("full")),
  "deno-system": denoTests(() => testFiles("system")),
  "node-system": nodeTests(() => testFiles("system")),
  faults: check("scripts/faults.ts"),
};

/** All suites by their names. */
export const SUITES: Readonly<Record<string, Suite>> = { ...FULL, changed: bunTests(changedTests) };

/** Gets the runtimes from npm before suites ask for them side by side: `bun x` has one folder for each, and no lock. */
export function getRuntimes(names: readonly string[]): void {
  const isNeeded = names.some((name) => !["lint", "types", "unit"].includes(name));
  if (isNeeded) for (const pinned of [DENO, NODE, OLDEST_NODE]) getRuntime(pinned);
}

function testFiles(tier: string): string[] {
  return globSync(`test/${tier}/**/*.test.ts`, { cwd: ROOT });
}

function check(...args: string[]): Suite {
  return { command: () => ({ program: process.execPath, args }) };
}

/** Each runtime's own tests use better-sqlite3; what works on a queue's file runs with the SQLite that is built in, too. */
function storageTests(): string[] {
  return testFiles("unit/{storage,queue}");
}

function withLibrary(library: string, suite: Suite): Suite {
  const command = (report: string, files: readonly string[]): Command => {
    const { env, ...command } = suite.command(report, files);
    return { ...command, env: { ...env, EVENTSPOOL_SQLITE: library } };
  };
  return { ...suite, command };
}

function bunTests(files: () => string[]): Suite {
  const options = [
    `--parallel=${WORKERS}`,
    `--timeout=${TEST_TIMEOUT_MS}`,
    "--only-failures",
    "--reporter=junit",
  ];
  return {
    files,
    command: (report, files) => ({
      program: process.execPath,
      args: ["test", ...options, `--reporter-outfile=${report}`, ...files.map((file) => `./${file}`)],
    }),
  };
}

/** tsc has checked the types, with Node's; Deno would do it again, with its own. */
function denoTests(files: () => string[]): Suite {
  const options = ["-A", "--no-check", "--parallel", "--reporter=dot"];
  return {
    files,
    command: (report, files) => ({
      program: runtimePath(DENO),
      args: ["test", ...options, `--junit-path=${report}`, ...files],
      env: { DENO_JOBS: String(WORKERS) },
    }),
  };
}

function nodeTests(files: () => string[], ...more: string[]): Suite {
  const options = [
    ...more,
    `--test-concurrency=${WORKERS}`,
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    "--test-reporter=dot",
    "--test-reporter-destination=stdout",
  ];
  return {
    files,
    command: (report, files) => ({
      program: runtimePath(NODE),
      args: [
        "--test",
        ...options,
        "--test-reporter=junit",
        `--test-reporter-destination=${report}`,
        ...files,
      ],
      // Each file is a process, and so is each program that a test starts: this halves their processor time.
      env: { NODE_COMPILE_CACHE: `${report}-compiled` },
    }),
  };
}
