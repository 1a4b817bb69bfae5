/** Runs contestants in turn, and shows the results. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** A program that does the same job. */
export interface Contestant {
  readonly name: string;
  /** SQLite's `synchronous=`, or what else decides how safe a commit is. */
  readonly durability: string;
  /** A program that prints a line of JSON last: figures by their names. */
  readonly command: readonly string[];
  /** Why it cannot take part here. */
  readonly missing?: string | undefined;
}

/** The results of a contestant's runs, by the name of the figure. */
export interface Result {
  readonly contestant: Contestant;
  readonly figures: ReadonlyMap<string, readonly number[]>;
  /** What it printed instead of figures. */
  readonly failure?: string;
}

/** The column of a figure. */
export interface Column {
  readonly figure: string;
  readonly title: string;
  /** 1 unless figures are to be shown in another unit. */
  readonly divisor?: number;
  readonly digits?: number;
}

/** A table of the report. */
export interface Table {
  readonly title: string;
  /** What was done, and what the ratio is to. */
  readonly note: string;
  /** The figure whose ratio to the first contestant's is shown; undefined: none. */
  readonly ratioOf?: string;
  readonly columns: readonly Column[];
  readonly results: readonly Result[];
}

/** Runs each contestant `repeats` times, in turn, so that a machine that slows down slows all of them. */
export async function race(contestants: readonly Contestant[], repeats: number): Promise<Result[]> {
  const runs = contestants.map((contestant) => ({
    contestant,
    figures: new Map<string, number[]>(),
    failure: contestant.missing,
  }));
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const run of runs) {
      if (run.failure !== undefined) continue;
      const outcome = await runOnce(run.contestant.command);
      if (typeof outcome === "string") run.failure = outcome;
      else for (const [name, value] of Object.entries(outcome)) append(run.figures, name, value);
    }
  }
  return runs.map(({ failure, ...run }) => (failure === undefined ? run : { ...run, failure }));
}

async function runOnce([program = "", ...args]: readonly string[]): Promise<Record<string, number> | string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 900_000 });
  const [out, problem] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]).catch((error: Error) => ["", error.message]);
  try {
    return JSON.parse(out.trim().split("\n").at(-1) ?? "") as Record<string, number>;
  } catch {
    return problem.split("\n").find((line) => line.includes("rror")) ?? "it printed no figures";
  }
}

function append(figures: Map<string, number[]>, name: string, value: number): void {
  figures.set(name, [...(figures.get(name) ?? []), value]);
}

/** The median; NaN of no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return sorted.length === 0 ? Number.NaN : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** A table in Markdown: ratios first, then medians with minimum and maximum. */
export function render({ title, note, ratioOf, columns, results }: Table): string {
  const titles = [
    "",
    ...(ratioOf === undefined ? [] : ["ratio"]),
    "synchronous",
    ...columns.map((column) => column.title),
  ];
  const rows = results.map((result) => {
    const name = result.contestant.name;
    if (result.failure !== undefined)
      return [name, ...titles.slice(1, -columns.length).map(() => ""), `not run: ${result.failure}`];
    const ratio = ratioOf === undefined ? [] : [ratioText(results[0] as Result, result, ratioOf)];
    return [name, ...ratio, result.contestant.durability, ...columns.map((column) => cell(result, column))];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    `## ${title}`,
    "",
    note,
    "",
    line(titles),
    line(titles.map(() => "---")),
    ...rows.map(line),
    "",
  ].join("\n");
}

/** The ratio of each run to the first contestant's run of the same turn. */
function ratioText(first: Result, result: Result, figure: string): string {
  const base = first.figures.get(figure) ?? [];
  const ratios = (result.figures.get(figure) ?? []).map((value, run) => value / (base[run] ?? Number.NaN));
  return ratios.length === 0 ? "" : median(ratios).toFixed(2);
}

function cell({ figures }: Result, { figure, divisor = 1, digits = 0 }: Column): string {
  const values = figures.get(figure);
  if (values === undefined) return "";
  const show = (value: number) =>
    (value / divisor).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (values.length === 1) return show(values[0] as number);
  return `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
}
