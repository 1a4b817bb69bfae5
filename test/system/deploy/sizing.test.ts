import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { DEFAULT_BALLAST_BYTES } from "../../../src/config/publisher_config.ts";
import { MAX_DEAD_LETTER_BYTES } from "../../../src/storage/dead_letters.ts";
import { DEFAULT_MAX_EVENTS } from "../../../src/storage/events.ts";
import { MAX_EVENT_BYTES } from "../../../src/wire/batch_format.ts";
import { readDeployment } from "../../support/deployment.ts";
import { readPage } from "../../support/doc_page.ts";

const MIB = 1_048_576;
const MB = 1_000_000;
const page = readPage("docs/production.md");
const pod = parseAllDocuments(readDeployment("kubernetes/deployment.yaml"))[2]!.toJS({ maxAliasCount: 10 })
  .spec.template.spec as {
  initContainers: { resources: { requests: Record<string, string>; limits: Record<string, string> } }[];
  volumes: { name: string; emptyDir?: { sizeLimit: string } }[];
};
const { requests, limits } = pod.initContainers[0]!.resources;

/** The largest figure in the column of docs/benchmarks.md with this head, in rows about the publisher. */
function mostMeasured(column: string): number {
  const lines = readPage("docs/benchmarks.md").split("\n");
  const heads = lines.flatMap((line, at) => (cellsOf(line).includes(column) ? [at] : []));
  const figures = heads.flatMap((head) => {
    const rows = lines.slice(head + 2, lines.indexOf("", head)).filter((row) => row.includes("**eventspool"));
    const cells = rows.map((row) => cellsOf(row)[cellsOf(lines[head]!).indexOf(column)]!);
    return cells.flatMap((cell) => [...cell.matchAll(/[\d.]+/g)].map(([figure]) => Number(figure)));
  });
  assert.ok(figures.length > 0, column);
  return Math.max(...figures);
}

function cellsOf(line: string): string[] {
  return line.split("|").map((cell) => cell.trim());
}

function bytesOf(text: string): number {
  const [, number, unit] = /^(\d+)(Mi|M|m|Gi)$/.exec(text)!;
  return Number(number) * (unit === "Gi" ? 1_024 * MIB : MIB);
}

test("gives a publisher more than twice the memory that it was ever measured to take", () => {
  const unit = /^MemoryMax=(.*)$/m.exec(readDeployment("systemd/eventspool-publisher@.service"))![1]!;
  const compose = parse(readDeployment("docker/compose.yaml")).services.publisher.mem_limit as string;
  const most = mostMeasured("peak memory, MB");
  for (const limit of [unit, compose, limits.memory!]) assert.ok(bytesOf(limit) > 2 * most * MB, limit);
  assert.ok(
    most < Number(/below (\d+) MB with 32 batches/.exec(page)![1]),
    `docs/production.md says less: ${most}`,
  );
});

test("asks a node for the memory and CPU that a steady stream takes", () => {
  const most = mostMeasured("its memory, MB");
  assert.ok(bytesOf(requests.memory!) > most * MB, requests.memory);
  assert.ok(
    most < Number(/below (\d+) MB in a steady stream/.exec(page)![1]),
    `docs/production.md says less: ${most}`,
  );
  const [, milliCores] = /^(\d+)m$/.exec(requests.cpu!)!;
  const eventsPerSecond =
    (Number(milliCores) / 1_000) * (1_000_000 / mostMeasured("publisher's CPU us/event"));
  assert.ok(eventsPerSecond > 4_000, `${requests.cpu} is for ${eventsPerSecond} events a second`);
});

test("gives a pod's queue the room that its cap, -wal, ballast and dead letters may take", () => {
  const { sizeLimit } = pod.volumes.find(({ name }) => name === "queue")!.emptyDir!;
  const walBytes = 64 * MIB; // docs/operating.md
  const most =
    DEFAULT_MAX_EVENTS * MAX_EVENT_BYTES + walBytes + DEFAULT_BALLAST_BYTES + MAX_DEAD_LETTER_BYTES;
  assert.ok(bytesOf(sizeLimit) > most, `${most}`);
});
