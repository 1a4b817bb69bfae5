import { spawnSync } from "node:child_process";
import { admin, type ObservedPublisher } from "../../src/admin/app.ts";

/** One figure of a text. */
export interface Sample {
  /** With `_bucket`, `_sum` or `_count` where it is a histogram's. */
  readonly name: string;
  /** As they stand there: `queue="main"`. */
  readonly labels: string;
  readonly value: number;
}

/** All that a text says of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

/** Reads the text format of Prometheus, or OpenMetrics, as far as a publisher writes it; throws at any other line. */
export function parseMetrics(text: string): Family[] {
  const families: Family[] = [];
  let help = { name: "", text: "" };
  for (const line of text.split("\n")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (line === "" || line === "# EOF") continue;
    if (kind === "HELP") help = { name, text: rest };
    else if (kind === "TYPE")
      families.push({ name, help: help.name === name ? help.text : "", type: rest, samples: [] });
    else families.at(-1)?.samples.push(parseSample(line));
  }
  return families;
}

function parseSample(line: string): Sample {
  const [, name, labels = "", value] = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || !Number.isFinite(Number(value))) throw new Error(`no metric: ${line}`);
  return { name, labels, value: Number(value) };
}

/** What GET /metrics of a publisher answers. */
export async function scrape(
  publisher: ObservedPublisher,
  accept?: string,
): Promise<{ status: number; type: string; text: string }> {
  const headers = accept === undefined ? {} : { Accept: accept };
  const response = await admin(publisher).request("/metrics", { headers });
  const type = response.headers.get("Content-Type") ?? "";
  return { status: response.status, type, text: await response.text() };
}

/** The figures of a publisher, by name and labels but the queue: `requests_total{outcome="accepted"}`. */
export async function figuresOf(publisher: ObservedPublisher): Promise<Record<string, number>> {
  const { text } = await scrape(publisher);
  const samples = parseMetrics(text).flatMap((family) => family.samples);
  return Object.fromEntries(
    samples.map(({ name, labels, value }) => {
      const others = labels.split(",").filter((label) => !label.startsWith("queue="));
      return [name.replace("eventspool_", "") + (others.length > 0 ? `{${others}}` : ""), value];
    }),
  );
}

/** Prometheus' own checker, as an option of `test`: a test that needs it is skipped where it is not installed. */
export const NEEDS_PROMTOOL: { readonly skip: string | false } = {
  skip:
    spawnSync("promtool", ["--version"]).error === undefined
      ? false
      : "promtool is not installed (Debian's package prometheus has it)",
};

/** Runs promtool. */
export function promtool(
  args: readonly string[],
  { input = "", cwd }: { input?: string; cwd?: string } = {},
): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, cwd, encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}
