/** Runs one suite in a process group of its own, with its output in a file, and counts what its report says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { ROOT } from "../../test/support/project.ts";
import type { Command, Suite } from "./suites.ts";

/** How long a suite may take. The slowest takes a few minutes beside others: longer means that it hangs. */
const TIME_LIMIT_MS = 1_800_000;

/** What a suite came to. */
export interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  /** The test files it ran, with the time that their tests took. */
  readonly files: readonly { readonly name: string; readonly seconds: number }[];
  /** What it printed, and why it failed if that was not a test. */
  readonly output: string;
}

const running = new Set<ChildProcess>();

/** Kills all suites that run, with everything that they started. */
export function stopSuites(): void {
  for (const child of running) killGroup(child);
}

/** Runs a suite; its output and its report go to `directory`. Never rejects: what goes wrong is a failure of the suite. */
export async function runSuite(name: string, suite: Suite, directory: string): Promise<Result> {
  const startedAtMs = performance.now();
  const log = join(directory, `${name}.log`);
  const report = join(directory, `${name}.xml`);
  const files = suite.files?.();
  const problem =
    files?.length === 0
      ? "there are no test files"
      : await runToEnd(() => suite.command(report, files ?? []), log);
  const xml = existsSync(report) ? readFileSync(report, "utf8") : "";
  const counted = files === undefined ? checkResult(problem) : reportResult(xml, files, problem);
  const text = existsSync(log) ? withoutDots(readFileSync(log, "utf8")) : "";
  return {
    ...counted,
    seconds: (performance.now() - startedAtMs) / 1_000,
    files: timesOf(xml).map(([file, seconds]) => ({ name: `${name}: ${file}`, seconds })),
    output: [text, ...counted.problems.map((line) => `${name}: ${line}`)].join("\n"),
  };
}

/** Deno and Node print a sign for each test: what is left is what failed. */
function withoutDots(text: string): string {
  return text.replaceAll(/^[.,!X]+\n/gm, "");
}

type Counted = Pick<Result, "passed" | "failed" | "skipped"> & { readonly problems: readonly string[] };

/** Returns what was wrong with how a command ended; undefined: nothing. */
async function runToEnd(command: () => Command, log: string): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;
  try {
    child = startCommand(command(), log);
    running.add(child);
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, TIME_LIMIT_MS, `still ran after ${TIME_LIMIT_MS / 60_000} minutes: killed`);
    });
    const ended = once(child, "exit").then(([code, signal]) =>
      code === 0 ? undefined : `ended with ${code ?? signal}`,
    );
    return await Promise.race([ended, late]);
  } catch (error) {
    return `did not start: ${(error as Error).message}`;
  } finally {
    clearTimeout(timer);
    if (child !== undefined) killGroup(child); // a test that failed may have left a program behind
  }
}

function startCommand({ program, args, env }: Command, log: string): ChildProcess {
  const file = openSync(log, "w");
  try {
    // Commands would take npm for what called them where npx has started Bun, which keeps this name.
    const { npm_config_user_agent: _, ...inherited } = process.env;
    const options = { cwd: ROOT, env: { ...inherited, NO_COLOR: "1", ...env }, detached: true };
    return spawn(program, args, { ...options, stdio: ["ignore", file, file] });
  } finally {
    closeSync(file);
  }
}

function killGroup(child: ChildProcess): void {
  running.delete(child);
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // nothing of it runs any more
  }
}

function checkResult(problem: string | undefined): Counted {
  const failed = problem === undefined ? 0 : 1;
  return { passed: 1 - failed, failed, skipped: 0, problems: [problem ?? []].flat() };
}

/** A runner that died, or that left out a file, has failed, whatever else it reported. */
function reportResult(xml: string, files: readonly string[], problem: string | undefined): Counted {
  const failed = count(xml, /<(failure|error)\b/g);
  const skipped = count(xml, /<skipped\b/g);
  const passed = count(xml, /<testcase\b/g) - failed - skipped;
  const reported = new Set(timesOf(xml).map(([file]) => file));
  const problems = files.filter((file) => !reported.has(file)).map((file) => `no test of ${file} was run`);
  if (problem !== undefined && failed === 0) problems.push(problem);
  return { passed, failed: failed + problems.length, skipped, problems };
}

/** The test files that a JUnit report names, and the seconds that their tests took. */
function timesOf(xml: string): [string, number][] {
  const times = new Map<string, number>();
  for (const [testCase] of xml.matchAll(/<testcase\b[^>]*>/g)) {
    const attribute = (name: string): string | undefined =>
      new RegExp(` ${name}="([^"]*)"`).exec(testCase)?.[1];
    const file = attribute("file") ?? attribute("classname") ?? ""; // Deno has it as the class
    const name = relative(ROOT, join(file.startsWith("/") ? "" : ROOT, file));
    times.set(name, (times.get(name) ?? 0) + Number(attribute("time") ?? 0));
  }
  return [...times];
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
