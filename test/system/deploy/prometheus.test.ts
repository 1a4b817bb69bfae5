import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readPage } from "../../support/doc_page.ts";
import { eventually } from "../../support/eventually.ts";
import { type Family, NEEDS_PROMTOOL, parseMetrics, promtool } from "../../support/prometheus.ts";
import { addressOf, Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const DEPLOY = new URL("../../../deploy/", import.meta.url);
const RULES = new URL("prometheus/", DEPLOY);

interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
}

interface Variable {
  readonly name: string;
  readonly definition?: string;
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

const dashboard = JSON.parse(readFileSync(new URL("grafana/eventspool.json", DEPLOY), "utf8")) as Dashboard;
const alerts = readFileSync(new URL("alerts.yml", RULES), "utf8");

/** The expressions of the dashboard's panels. */
const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

/** What `/metrics` of a real publisher and of a real collector have, after an event that is stored and one that is rejected. */
let scraped: Promise<readonly Family[]> | undefined;

function realFamilies(): Promise<readonly Family[]> {
  scraped ??= (async () => {
    using spool = new Spool();
    await using collector = spool.collector();
    const { host } = await addressOf(collector);
    await using publisher = spool.publisher({
      "collector.hostname": host,
      "collector.version": "2",
      "admin.listen": "127.0.0.1:0",
    });
    const admin = await addressOf(publisher);
    spool.queue.put({ 1: { str: "view" } });
    spool.queue.put({ 1: { i64: "no number" } });
    await eventually("a dead letter, and an empty queue", () => {
      return spool.deadLetters().length === 1 && spool.queue.depth() === 0;
    });
    const texts = await Promise.all(
      [admin.href, `http://${host}/`].map(async (url) => (await fetch(`${url}metrics`)).text()),
    );
    return texts.flatMap(parseMetrics);
  })();
  return scraped;
}

/** Names as Prometheus stores them, with the labels that each has. */
async function realMetrics(): Promise<Map<string, Set<string>>> {
  const labelsOf = new Map<string, Set<string>>();
  for (const { name, labels } of (await realFamilies()).flatMap(({ samples }) => samples)) {
    const known = labelsOf.get(name) ?? new Set(["instance", "job"]);
    for (const label of namesOf(labels)) known.add(label);
    labelsOf.set(name, known);
  }
  return labelsOf;
}

/** The names of a sample's labels. */
function namesOf(labels: string): string[] {
  return [...labels.matchAll(/([a-z]+)="/g)].map(([, name]) => name!);
}

test("alerts and dashboard name only metrics that a publisher or a collector has, and labels that these have", async () => {
  const real = await realMetrics();
  const sources = [
    alerts.replaceAll(/^#.*$/gm, ""),
    ...expressions,
    ...dashboard.templating.list.map(({ definition = "" }) => definition),
  ];
  const named = sources.flatMap((source) => [...source.matchAll(/\b(eventspool_[a-z_]+)(?:\{([^}]*)\})?/g)]);
  assert.ok(named.length > 60, `${named.length}`);
  for (const [, name = "", matchers = ""] of named) {
    assert.ok(real.has(name), `${name} is no metric`);
    for (const [, label = ""] of matchers.matchAll(/([a-z]+)=~?"/g))
      assert.ok(real.get(name)?.has(label), `${name} has no label ${label}`);
  }
});

test("the dashboard shows every metric but the version, a setting, and what failing_seconds and rates show", async () => {
  const shown = expressions.join("\n");
  const untold = new Set([
    "eventspool_build_info",
    "eventspool_max_concurrency",
    "eventspool_consecutive_failures",
    "eventspool_consecutive_storage_failures",
  ]);
  const families = [...(await realMetrics()).keys()].map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  const missing = [...new Set(families)].filter((name) => !shown.includes(name) && !untold.has(name));
  assert.deepEqual(missing, []);
});

test("no two panels of the dashboard lie on each other", () => {
  const cells = new Map<string, string>();
  for (const { title, gridPos } of dashboard.panels as unknown as {
    title: string;
    gridPos: Record<string, number>;
  }[])
    for (let x = gridPos.x!; x < gridPos.x! + gridPos.w!; x++)
      for (let y = gridPos.y!; y < gridPos.y! + gridPos.h!; y++) {
        assert.ok(x < 24, `${title} is too wide`);
        assert.equal(cells.get(`${x},${y}`), undefined, `${title} lies on another`);
        cells.set(`${x},${y}`, title);
      }
});

test("Prometheus understands every expression of the dashboard", NEEDS_PROMTOOL, () => {
  using directory = temporaryDirectory();
  const rules = expressions.map((expr, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$(queue|instance|collector)/g, ".*"),
  }));
  const path = join(directory.path, "rules.yml");
  writeFileSync(path, JSON.stringify({ groups: [{ name: "dashboard", rules }] })); // YAML is a superset of JSON
  const { status, output } = promtool(["check", "rules", path]);
  assert.equal(status, 0, output);
  assert.match(output, new RegExp(`${expressions.length} rules found`));
});

test("Prometheus understands the alerts", NEEDS_PROMTOOL, () => {
  const { status, output } = promtool(["check", "rules", fileURLToPath(new URL("alerts.yml", RULES))]);
  assert.equal(status, 0, output);
});

test("the alerts fire when they should, and not when they should not", NEEDS_PROMTOOL, () => {
  const { status, output } = promtool(["test", "rules", "alerts_test.yml"], { cwd: fileURLToPath(RULES) });
  assert.equal(status, 0, output);
});

test("each alert has a test in which it fires, a severity, and says what to do", () => {
  const tests = readFileSync(new URL("alerts_test.yml", RULES), "utf8");
  const names = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!);
  assert.ok(names.length > 10);
  for (const name of names)
    assert.match(tests, new RegExp(`alertname: ${name}\\n +exp_alerts:\\n`), `${name} is not seen to fire`);
  for (const field of ["severity: (page|ticket)", "summary:", "description:"])
    assert.equal(alerts.match(new RegExp(`^ +${field}`, "gm"))?.length, names.length, field);
});

/** The rows of the tables of docs/metrics.md. */
const ROWS = [
  ...readPage("docs/metrics.md").matchAll(/^\| `(eventspool_[a-z_]+)` +\| (\w+) +\| (.*?) +\| (.*)\|$/gm),
].map(([, name, type, labels, meaning]) => ({
  name: name!,
  type: type!,
  labels: labels!,
  meaning: meaning!,
}));

/** Labels that a table does not name: those of all publishers, and of each bucket. */
const COMMON_LABELS = new Set(["queue", "le"]);

test("docs/metrics.md explains every metric of publisher and collector, with type and labels, and no other", async () => {
  const families = await realFamilies();
  const real = families.map(({ name, type, samples }) => {
    const labels = new Set(samples.flatMap(({ labels }) => namesOf(labels)));
    return {
      name,
      type,
      labels: [...labels]
        .filter((label) => !COMMON_LABELS.has(label))
        .map((label) => `\`${label}\``)
        .join(", "),
    };
  });
  const line = ({ name, type, labels }: (typeof real)[number]) => `${name} ${type} ${labels}`;
  assert.deepEqual(ROWS.map(line).toSorted(), real.map(line).toSorted());
});

test("docs/metrics.md names each outcome, reason and claim that there is", async () => {
  for (const { name, samples } of await realFamilies())
    for (const { labels } of samples)
      for (const [, value] of labels.matchAll(/(?:outcome|reason|claim)="(\w+)"/g))
        assert.ok(
          ROWS.find((row) => row.name === name)?.meaning.includes(`\`${value}\``),
          `${name}: ${value}`,
        );
});
