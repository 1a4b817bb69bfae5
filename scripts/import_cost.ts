/**
 * `bun scripts/import_cost.ts [ROUNDS]`: what importing eventspool costs a service that starts, against a program
 * that imports nothing, under Bun, Deno and Node: whole processes, from start to end, by turns; medians.
 * Bun takes the sources, the others what `bun run build` makes of them, as they do in an installed package.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DENO, NODE } from "./runtimes.ts";

const EXPORTS: Readonly<Record<string, string>> = {
  eventspool: "mod",
  "eventspool/thrift": "serializers/thrift",
  "eventspool/outbox": "queue/outbox",
  "eventspool/hono": "queue/hono",
  "eventspool/publisher": "publisher/mod",
  "eventspool/admin": "admin/app",
  "eventspool/collector": "collector/mod",
};

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
  /** Where it takes the exports from, and with what suffix. */
  readonly from: readonly [folder: string, suffix: string];
}

/** One run of a program. Its CPU time tells more than its time on a machine that has other things to do. */
interface Sample {
  readonly elapsedMs: number;
  readonly cpuMs: number;
  readonly rssMb: number;
}

const MEASURES = ["elapsedMs", "cpuMs", "rssMb"] as const;

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Says where the programs, which lie elsewhere, find packages. */
const DENO_JSON = join(ROOT, "deno.json");

const RUNTIMES: readonly Runtime[] = [
  { name: "Bun", command: [process.execPath, "run"], from: ["src", ".ts"] },
  {
    name: "Deno",
    command: [pathOf(DENO, "eval"), "run", "-A", "--config", DENO_JSON],
    from: ["dist", ".js"],
  },
  { name: "Node", command: [pathOf(NODE, "-e")], from: ["dist", ".js"] },
];

const PRINT_COST = `import process from "node:process";
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ cpuMs: (user + system) / 1e3, rssMb: process.memoryUsage.rss() / 1e6 }));
`;

spawnSync(process.execPath, ["run", "build"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
const rounds = Number(process.argv[2] ?? 15);
const directory = mkdtempSync(join(tmpdir(), "eventspool-import-"));
console.log(
  `Medians of ${rounds} runs by turns, in brackets against a program that imports nothing, on ${cpus()[0]?.model ?? "an unknown CPU"}.\n`,
);
console.log("| runtime | import | whole process, ms | CPU, ms | RSS, MB |");
console.log("| --- | --- | --: | --: | --: |");
for (const runtime of RUNTIMES) report(runtime);
rmSync(directory, { recursive: true });

function report(runtime: Runtime): void {
  const none = program(runtime, "none", "");
  const programs = Object.entries(EXPORTS).map(([name, path]) =>
    program(runtime, name, importOf(runtime, path)),
  );
  const all = [none, ...programs];
  const samples = all.map((): Sample[] => []);
  for (const file of all) sample(runtime, file); // into the caches
  for (let round = 0; round < rounds; round++)
    for (const [index, file] of all.entries()) samples[index]?.push(sample(runtime, file));
  const medians = samples.map(medianOf);
  const [empty] = medians as [Sample];
  for (const [index, name] of ["nothing", ...Object.keys(EXPORTS)].entries()) {
    const cost = medians[index] as Sample;
    const cells = MEASURES.map((measure) => {
      const more = cost[measure] - empty[measure];
      return `${cost[measure].toFixed(0)} (${more < 0 ? "" : "+"}${more.toFixed(0)})`;
    });
    console.log(`| ${runtime.name} | ${name} | ${cells.join(" | ")} |`);
  }
}

function importOf({ from: [folder, suffix] }: Runtime, path: string): string {
  return `import ${JSON.stringify(new URL(`../${folder}/${path}${suffix}`, import.meta.url).href)};\n`;
}

/** Writes a program that ends with printing what it took. */
function program({ name }: Runtime, what: string, imports: string): string {
  const file = join(directory, `${name}-${what.replace("/", "-")}.mjs`);
  writeFileSync(file, imports + PRINT_COST);
  return file;
}

function sample({ command: [executable = "", ...args] }: Runtime, file: string): Sample {
  const startedAtMs = performance.now();
  const { status, stdout, stderr } = spawnSync(executable, [...args, file], { encoding: "utf8" });
  const elapsedMs = performance.now() - startedAtMs;
  if (status !== 0) throw new Error(`${executable} ${file} ended with ${status}: ${stderr}`);
  return { elapsedMs, ...(JSON.parse(stdout) as { cpuMs: number; rssMb: number }) };
}

function medianOf(samples: readonly Sample[]): Sample {
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;
  const entries = MEASURES.map((measure) => [measure, median(samples.map((sample) => sample[measure]))]);
  return Object.fromEntries(entries) as Record<(typeof MEASURES)[number], number>;
}

/** The executable itself: `bun x` would be measured too. */
function pathOf(pinned: string, evaluate: string): string {
  const print = "console.log(globalThis.Deno?.execPath() ?? process.execPath)";
  const { stdout } = spawnSync(process.execPath, ["x", pinned, evaluate, print], { encoding: "utf8" });
  return stdout.trim();
}
