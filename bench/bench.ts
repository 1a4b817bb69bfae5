/**
 * `bun run bench [PART ...] [--quick] [--write]`: measures, and prints ratios first. Parts: put, serialize,
 * latency, drain, steady, idle, scale, collector, jetstream, hosts. `--quick` does a tenth of the work; `--write` also writes docs/benchmarks.md.
 * The tools that it compares with are installed in bench, not in the project.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { render, type Table } from "./measure.ts";
import { collector, hosts, jetstream } from "./parts/collector.ts";
import { drain, steady } from "./parts/drain.ts";
import { idle } from "./parts/idle.ts";
import { latency } from "./parts/latency.ts";
import { put } from "./parts/put.ts";
import { scale } from "./parts/scale.ts";
import { serialize } from "./parts/serialize.ts";
import { writePlots } from "./plots.ts";
import type { Settings } from "./settings.ts";
import { versions } from "./versions.ts";

const PARTS: Readonly<Record<string, (settings: Settings) => Promise<Table[]>>> = {
  put,
  serialize,
  latency,
  drain,
  steady,
  idle,
  scale,
  collector,
  jetstream,
  hosts,
};

const QUICK = { scale: 0.1, repeats: 3 };
const FULL = { scale: 1, repeats: 5 };
const FIGURES_BEGIN = "<!-- written by bun run bench --write from here on -->";
const DOCS = fileURLToPath(new URL("../docs", import.meta.url));

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean" }, write: { type: "boolean" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  console.error(`Unknown part: ${unknown.join(", ")}. Parts: ${Object.keys(PARTS).join(", ")}.`);
  process.exit(2);
}

const directory = mkdtempSync(join(tmpdir(), "eventspool-bench-"));
const tables: Table[] = [];
try {
  show(head());
  for (const name of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
    const measured = await PARTS[name]?.({ directory, ...(values.quick ? QUICK : FULL) });
    for (const table of measured ?? []) show(render(table));
    tables.push(...(measured ?? []));
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
if (values.write) {
  const plots = await writePlots(tables, join(DOCS, "benchmarks"));
  const pictures = plots.map(({ file, title }) => `![${title}](benchmarks/${file})\n`);
  replaceFigures(join(DOCS, "benchmarks.md"), [head(), ...pictures, ...tables.map(render)].join("\n"));
}

/** Replaces the figures of the page, and keeps the text before them. */
function replaceFigures(page: string, figures: string): void {
  const [text = ""] = readFileSync(page, "utf8").split(FIGURES_BEGIN);
  writeFileSync(page, `${text}${FIGURES_BEGIN}\n\n${figures}`);
}

function show(text: string): void {
  console.log(text);
}

function head(): string {
  const [cpu] = cpus();
  const machine = `${cpus().length} x ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform}`;
  return `Each figure is the median of several runs, with minimum and maximum in brackets. All contestants run in turn, and a ratio is the
median of the ratios within each turn. Ratios hold on other machines, figures do not.

Measured on ${new Date().toISOString().slice(0, 10)}: ${machine}; ${versions()}.
`;
}
