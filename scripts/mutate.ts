/**
 * `bun run mutate [--seed N] [--count N] [--workers N] [--tiers unit,runtime,system] [PATH[:LINE] ...]`: breaks `src/` in one place at
 * a time, in copies, and runs the tests that can reach it, nearest and cheapest first, up to the first that fails. What
 * no test notices, nor the compiler, is printed. PATH is a folder or a file, by default `src`. The seed decides which
 * mutants are chosen. The exit code is 1 if one survived.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { formatTable } from "../src/format.ts";
import { ROOT } from "../test/support/project.ts";
import { randomFrom } from "../test/system/power/recorded_disk.ts";
import { testsReachedBy } from "./test/changed_tests.ts";
import { type Mutant, mutantsOf, mutate } from "./test/mutants.ts";

/** How many test files of a tier run before its others: most mutants are killed by the nearest. */
const NEAREST = 12;

/** Processor time that a test file may take on average, in seconds: ten times what most take. More is a loop without an end. */
const FILE_LIMIT_S = 5;

/** How long a test may wait, also on a busy machine. */
const TEST_TIMEOUT_MS = 60_000;

/** Longer than any round takes: what still runs then hangs. */
const ROUND_TIMEOUT_MS = 1_800_000;

interface Chosen extends Mutant {
  readonly file: string;
}

const { values, positionals } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "100" },
    tiers: { type: "string", default: "unit,runtime,system" },
    workers: { type: "string", default: "2" },
  },
  allowPositionals: true,
});
const waiting = choose(
  positionals.length > 0 ? positionals : ["src"],
  Number(values.count),
  Number(values.seed),
);
const killed: Chosen[] = [];
const survived: Chosen[] = [];

/** Whether the files of a round pass without a mutant. */
const unchanged = new Map<string, Promise<boolean>>();

console.log(`${waiting.length} mutants, seed ${values.seed}`);
await Promise.all(Array.from({ length: Number(values.workers) }, work));
console.log(`\n${scores()}\n\n${killed.length} killed, ${survived.length} survived`);
process.exit(survived.length > 0 ? 1 : 0);

/** Chooses up to `count` mutants of the files that the paths name. */
function choose(paths: readonly string[], count: number, seed: number): Chosen[] {
  const all = paths.flatMap((path) => {
    const [name, line] = path.split(":");
    return filesOf(name!)
      .flatMap((file) => mutantsOf(sourceOf(file)).map((mutant) => ({ ...mutant, file })))
      .filter((mutant) => line === undefined || mutant.line === Number(line));
  });
  const random = randomFrom(seed);
  return all
    .map((mutant) => ({ mutant, place: random() }))
    .sort((a, b) => a.place - b.place)
    .slice(0, count)
    .map(({ mutant }) => mutant);
}

function filesOf(path: string): string[] {
  const names = path.endsWith(".ts") ? [path] : globSync(`${path}/**/*.ts`, { cwd: ROOT }).sort();
  return names.filter((name) => !name.endsWith(".generated.ts"));
}

function sourceOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** Takes mutants until there are none left, in a copy of its own. */
async function work(): Promise<void> {
  const copy = mkdtempSync(join(tmpdir(), "eventspool-mutants-"));
  try {
    cpSync(ROOT, copy, { recursive: true, filter: (path) => !/^(node_modules|\.git)$/.test(basename(path)) });
    symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
    for (let mutant = waiting.pop(); mutant !== undefined; mutant = waiting.pop()) {
      const killer = await killerOf(mutant, copy);
      (killer === undefined ? survived : killed).push(mutant);
      console.log(`${killer === undefined ? "SURVIVED" : `killed by ${killer}`}: ${describe(mutant)}`);
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** Returns what notices a mutant: a test file, or the compiler. */
async function killerOf(mutant: Chosen, copy: string): Promise<string | undefined> {
  const source = sourceOf(mutant.file);
  const runMutated = async (command: readonly string[]): Promise<boolean> => {
    writeFileSync(join(copy, mutant.file), mutate(source, mutant));
    try {
      return await passes(command, copy);
    } finally {
      writeFileSync(join(copy, mutant.file), source);
    }
  };
  for (const files of roundsOf(mutant.file)) {
    if (await runMutated(testCommand(files))) continue;
    if (!(await passesUnchanged(files, copy))) throw new Error(`fails without a mutant: ${files.join(" ")}`);
    return files.length > 1 ? `${files[0]} or ${files.length - 1} more` : files[0];
  }
  return (await runMutated(["x", "tsc", "-p", "."])) ? undefined : "tsc";
}

/** The test files that can reach a file, in rounds: first those that mirror it, of all tiers, then tier by tier. */
function roundsOf(file: string): string[][] {
  const tiers = values.tiers.split(",");
  const tests = testsReachedBy([file]).filter((test) => tiers.includes(test.split("/")[1]!));
  const [word] = basename(file, ".ts").split("_");
  const own = tests.filter((test) => test.includes(`${dirname(file).slice("src".length)}/${word}`));
  const others = tiers.flatMap((tier) => {
    const files = tests.filter((test) => test.startsWith(`test/${tier}/`) && !own.includes(test));
    return [files.slice(0, NEAREST), files.slice(NEAREST)];
  });
  return [own, ...others].filter((files) => files.length > 0);
}

/** Whether a round passes without a mutant. */
function passesUnchanged(files: readonly string[], copy: string): Promise<boolean> {
  const key = files.join(" ");
  if (!unchanged.has(key)) unchanged.set(key, passes(testCommand(files), copy));
  return unchanged.get(key)!;
}

function testCommand(files: readonly string[]): string[] {
  return ["test", "--bail", `--timeout=${TEST_TIMEOUT_MS}`, ...files.map((file) => `./${file}`)];
}

/** Runs a command of Bun in the copy, in a process group of its own, which ends with it. */
async function passes(args: readonly string[], copy: string): Promise<boolean> {
  const TMPDIR = join(copy, "tmp");
  mkdirSync(TMPDIR, { recursive: true });
  const limited = `ulimit -t ${FILE_LIMIT_S * args.length}; exec "$0" "$@"`;
  const child = spawn("sh", ["-c", limited, process.execPath, ...args], {
    cwd: copy,
    detached: true,
    stdio: "ignore",
    env: { ...process.env, TMPDIR },
  });
  const timer = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), ROUND_TIMEOUT_MS);
  const [status] = await once(child, "exit");
  clearTimeout(timer);
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {} // nothing is left of the group
  rmSync(TMPDIR, { recursive: true, force: true });
  return status === 0;
}

function describe({ file, line, start, end, text }: Chosen): string {
  const short = (code: string) => code.split("\n")[0]!.slice(0, 60);
  return `${file}:${line} ${short(sourceOf(file).slice(start, end))} -> ${short(text)}`;
}

/** A row for each folder. */
function scores(): string {
  const folders = [...new Set([...killed, ...survived].map(({ file }) => dirname(file)))].sort();
  const rows = folders.map((folder) => {
    const [dead, alive] = [killed, survived].map(
      (list) => list.filter(({ file }) => dirname(file) === folder).length,
    );
    return [
      folder,
      String(dead! + alive!),
      String(dead),
      `${Math.round((100 * dead!) / (dead! + alive!))} %`,
    ];
  });
  return formatTable(["folder", "mutants", "killed", "score"], rows).join("\n");
}
