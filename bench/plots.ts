/** The pictures of docs/benchmarks.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { median, type Table } from "./measure.ts";

/** A written picture. */
export interface Plot {
  readonly file: string;
  readonly title: string;
}

/** Tables that are drawn as bars, by their titles. */
const BARS: readonly { table: string; figure: string; file: string; title: string }[] = [
  { table: "put, one at a time", figure: "perS", file: "put.svg", title: "put, one at a time: events/s" },
  {
    table: "Draining a full queue, gzip level 1",
    figure: "perS",
    file: "drain.svg",
    title: "Draining a full queue, gzip level 1: events/s",
  },
];

/** Writes the pictures of the given tables. */
export async function writePlots(tables: readonly Table[], directory: string): Promise<Plot[]> {
  mkdirSync(directory, { recursive: true });
  const plots: Plot[] = [];
  for (const { table, figure, file, title } of BARS) {
    const found = tables.find((candidate) => candidate.title === table);
    if (found === undefined) continue;
    writeFileSync(join(directory, file), await draw(bars(found, { figure, title })));
    plots.push({ file, title });
  }
  return plots;
}

/** A specification of vega-lite as SVG. */
export async function draw(spec: TopLevelSpec): Promise<string> {
  return await new View(parse(compile(spec).spec), { renderer: "none" }).toSVG();
}

function bars(table: Table, { figure, title }: { figure: string; title: string }): TopLevelSpec {
  const values = table.results
    .filter(({ figures }) => figures.has(figure))
    .map(({ contestant, figures }) => ({
      name: contestant.name.replaceAll(/[*`]/g, ""),
      ours: contestant.name.includes("eventspool"),
      value: median(figures.get(figure) ?? []),
    }));
  return {
    title,
    background: "white",
    width: 480,
    data: { values },
    mark: "bar",
    encoding: {
      y: { field: "name", type: "nominal", sort: null, title: null, axis: { labelLimit: 300 } },
      x: { field: "value", type: "quantitative", title: null },
      color: { field: "ours", type: "nominal", legend: null, scale: { range: ["#9aa5b1", "#2f6fde"] } },
    },
  };
}
