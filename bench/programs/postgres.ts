/**
 * Events into a Postgres table, in batches, in turn: a bare COPY, what a sink and a destination do, the same in a
 * table of partitions, and one INSERT an event. `{"url", "rounds"}`. Prints events a second, at the median.
 */
import process from "node:process";
import postgres from "postgres";
import { parsePublisherConfig } from "../../src/config/publisher_config.ts";
import { EventTable } from "../../src/postgres/event_table.ts";
import { BATCH_EVENTS } from "./batches.ts";
import { randomEvent } from "./random_events.ts";

const { url, rounds = 30 } = JSON.parse(process.argv[2] ?? "{}") as { url: string; rounds?: number };
const COUNT = BATCH_EVENTS["2j"];
const QUEUE = "0e3b2a44-5d1c-4c59-8a52-7b1f6e2d9c10";
const NEVER = new AbortController().signal;

const sql = postgres(url, { max: 1, onnotice: () => {} });
const tables = new Map(["none", "day"].map((partition) => [partition, open(partition)]));
await sql.unsafe("DROP TABLE IF EXISTS bench_copy, bench_single, bench_none, bench_day");
for (const table of tables.values())
  await table.insert({ queue: QUEUE, source: "", ids: [], putAtMs: [], texts: [] }, NEVER);
for (const name of ["copy", "single"])
  await sql.unsafe(`CREATE TABLE bench_${name} (LIKE bench_none INCLUDING ALL)`);

function open(partition: string): EventTable {
  const keys = {
    destination: "postgres",
    "postgres.url": url,
    "postgres.table": `bench_${partition}`,
    "postgres.partition": partition,
  };
  const lines = Object.entries(keys).map(([key, value]) => `${key} = ${value}\n`);
  const { destination } = parsePublisherConfig(`[event-publisher:main]\n${lines.join("")}`, { env: {} });
  if (destination.kind !== "postgres") throw new Error("Error: not Postgres");
  return new EventTable(destination, "bench");
}

interface Batch {
  readonly firstId: number;
  readonly texts: readonly string[];
}

async function copy({ firstId, texts }: Batch): Promise<void> {
  const at = new Date().toISOString();
  const lines = texts.map(
    (text, index) => `${QUEUE}\t${firstId + index}\t${at}\t\t${text.replaceAll("\\", "\\\\")}\n`,
  );
  const into = await sql.unsafe("COPY bench_copy (queue, id, put_at, source, event) FROM STDIN").writable();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  into.once("error", reject).once("finish", resolve).end(lines.join(""));
  await promise;
}

async function insert(partition: string, { firstId, texts }: Batch): Promise<void> {
  const ids = texts.map((_, index) => firstId + index);
  const putAtMs = texts.map(() => Date.now());
  const { failure } = await tables
    .get(partition)!
    .insert({ queue: QUEUE, source: "", ids, putAtMs, texts }, NEVER);
  if (failure !== undefined) throw new Error(`Error: ${failure.reason}`);
}

/** Of a tenth of the batch. */
async function single({ firstId, texts }: Batch): Promise<void> {
  for (const [index, text] of texts.slice(0, COUNT / 10).entries())
    await sql`INSERT INTO bench_single (queue, id, put_at, source, event)
      VALUES (${QUEUE}, ${firstId + index}, now(), '', ${text}::text::jsonb) ON CONFLICT DO NOTHING`;
}

const ways: Record<string, (batch: Batch) => Promise<void>> = {
  copy,
  table: (batch) => insert("none", batch),
  partitions: (batch) => insert("day", batch),
  single,
};
const perS = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
for (let round = 0; round < rounds; round++) {
  const texts = Array.from({ length: COUNT }, () => Buffer.from(randomEvent()).toString());
  for (const [name, way] of Object.entries(ways)) {
    const startedAtMs = performance.now();
    await way({ firstId: 1 + round * COUNT, texts });
    const count = name === "single" ? COUNT / 10 : COUNT;
    perS.get(name)!.push((count / (performance.now() - startedAtMs)) * 1_000);
  }
}
const medianOf = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
console.log(
  JSON.stringify(Object.fromEntries([...perS].map(([name, values]) => [name, Math.round(medianOf(values))]))),
);
for (const table of tables.values()) await table.close();
await sql.end();
