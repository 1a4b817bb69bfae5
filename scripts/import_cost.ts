/**
 * `bun scripts/import_cost.ts [ROUNDS]`: what importing eventspool, and a first put, cost a service that starts, compared
 * with a program that imports nothing, under Bun, Deno and Node: whole processes, from start to end, in turn; medians.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DENO, NODE } from "./runtimes.ts";

/** What the programs do, by how it is shown. */
const PROGRAMS: Readonly<Record<string, string>> = {
  nothing: "",
  eventspool: importOf("mod"),
  "eventspool, with a put": `${importOf("mod", "{ EventQueue, serializeJsonEvent }")}
const events = new EventQueue("main", serializeJsonEvent, { directory: import.meta.dirname });
events.put({ action: "view" });
`,
  "eventspool/thrift": importOf("serializers/thrift"),
  "eventspool/outbox": importOf("queue/outbox"),
  "eventspool/hono": importOf("queue/hono"),
  "eventspool/publisher": importOf("publisher/mod"),
  "eventspool/admin": importOf("admin/app"),
  "eventspool/collector": importOf("collector/mod"),
};

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
}

/** One run of a program. On a busy machine its CPU time says more than its duration. */
interface Sample {
  readonly elapsedMs: number;
  readonly cpuMs: number;
  readonly rssMb: number;
}

const MEASURES = ["elapsedMs", "cpuMs", "rssMb"] as const;

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Makes packages available to the programs, which are in another directory. */
const DENO_JSON = join(ROOT, "deno.json");

const RUNTIMES: readonly Runtime[] = [
  { name: "Bun", command: [process.execPath, "run"] },
  { name: "Deno", command: [pathOf(DENO, "eval"), "run", "-A", "--config", DENO_JSON] },
  { name: "Node", command: [pathOf(NODE, "-e")] },
];

const PRINT_COST = `import process from "node:process";
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ cpuMs: (user + system) / 1e3, rssMb: process.memoryUsage.rss() / 1e6 }));
`;

spawnSync(process.execPath, ["run", "build"], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
const rounds = Number(process.argv[2] ?? 15);
const directory = mkdtempSync(join(tmpdir(), "eventspool-import-"));
console.log(
  `Medians of ${rounds} runs in turn, in brackets against a program that imports nothing, on ${cpus()[0]?.model ?? "an unknown CPU"}.\n`,
);
console.log("| runtime | import | whole process, ms | CPU, ms | RSS, MB |");
console.log("| --- | --- | --: | --: | --: |");
for (const runtime of RUNTIMES) report(runtime);
rmSync(directory, { recursive: true });

function report(runtime: Runtime): void {
  const programs = Object.entries(PROGRAMS).map(([name, text]) => program(runtime, name, text));
  const samples = programs.map((): Sample[] => []);
  for (const file of programs) sample(runtime, file); // into the caches
  for (let round = 0; round < rounds; round++)
    for (const [index, file] of programs.entries()) samples[index]?.push(sample(runtime, file));
  const medians = samples.map(medianOf);
  const [empty] = medians as [Sample];
  for (const [index, name] of Object.keys(PROGRAMS).entries()) {
    const cost = medians[index] as Sample;
    const cells = MEASURES.map((measure) => {
      const more = cost[measure] - empty[measure];
      return `${cost[measure].toFixed(0)} (${more < 0 ? "" : "+"}${more.toFixed(0)})`;
    });
    console.log(`| ${runtime.name} | ${name} | ${cells.join(" | ")} |`);
  }
}

function importOf(path: string, names: string = ""): string {
  const url = new URL(`../dist/${path}.js`, import.meta.url).href;
  return `import ${names}${names && " from "}${JSON.stringify(url)};\n`;
}

/** Writes a program that ends with printing what it took. */
function program({ name }: Runtime, what: string, text: string): string {
  const file = join(directory, `${name}-${what.replaceAll(/\W+/g, "-")}.mjs`);
  writeFileSync(file, text + PRINT_COST);
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

/** The executable itself, because `bun x` would be measured too. */
function pathOf(pinned: string, evaluate: string): string {
  const print = "console.log(globalThis.Deno?.execPath() ?? process.execPath)";
  const { stdout } = spawnSync(process.execPath, ["x", pinned, evaluate, print], { encoding: "utf8" });
  return stdout.trim();
}
