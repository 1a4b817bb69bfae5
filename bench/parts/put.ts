/** Putting: one at a time, many in a transaction, and many callers at once. */
import { cFloor } from "../c_floor.ts";
import { type Contestant, race, type Table } from "../measure.ts";
import type { Task } from "../programs/rounds.ts";
import { has, program, type Settings } from "../settings.ts";

const COLUMNS = [{ figure: "perS", title: "events/s" }];

type Entry = readonly [name: string, file: string, durability?: string, missing?: string | undefined];

/** All the tables of `put`. */
export async function put(settings: Settings): Promise<Table[]> {
  const { scale, repeats } = settings;
  const tables: Table[] = [];
  const table = async (title: string, note: string, task: Task, entries: readonly Entry[]) => {
    const contestants = entries.map(([name, file, durability, missing]): Contestant => {
      const command = file.endsWith(".c") ? cFloor(task) : program(file, JSON.stringify(task));
      const isMissing = missing ?? (command.length === 0 ? "no C compiler here" : undefined);
      return { name, durability: durability ?? task.synchronous, command, missing: isMissing };
    });
    const results = await race(contestants, repeats);
    tables.push({ title, note, ratioOf: "perS", columns: COLUMNS, results });
  };
  const base = { eventBytes: 300, width: 100, directory: settings.directory };
  const redis = has("redis-server") ? undefined : "no redis-server here";

  await table(
    "put, one at a time",
    "300-byte events, one process, no publisher. The ratio is to a bare INSERT of better-sqlite3 into the same table with the same settings and no cap. posthog-node and @segment/analytics-node keep events in memory only.",
    { ...base, mode: "one", synchronous: "NORMAL", events: 100_000 * scale },
    [
      ["bare INSERT, better-sqlite3", "put_better_sqlite3.ts"],
      ["**eventspool `put`**", "put_eventspool.ts"],
      ["bare INSERT, bun:sqlite", "put_bun_sqlite.ts"],
      ["bare INSERT, C", "bare_insert.c"],
      ["plainjob", "put_plainjob.ts"],
      ["posthog-node", "put_posthog.ts", "in memory"],
      ["@segment/analytics-node", "put_segment.ts", "in memory"],
    ],
  );
  await table(
    "put, one at a time, surviving power cuts",
    "As above, but each put waits for an fsync.",
    { ...base, mode: "one", synchronous: "FULL", events: 8_000 * scale },
    [
      ["bare INSERT, better-sqlite3", "put_better_sqlite3.ts"],
      ["**eventspool `put`**", "put_eventspool.ts"],
      ["bare INSERT, C", "bare_insert.c"],
    ],
  );
  await table(
    "putMany of 100",
    "Transactions of 100 events of 300 bytes. The ratio is to a loop of bare INSERTs in a transaction.",
    { ...base, mode: "many", synchronous: "NORMAL", events: 500_000 * scale },
    [
      ["bare INSERTs, better-sqlite3", "put_better_sqlite3.ts"],
      ["**eventspool `putMany`**", "put_eventspool.ts"],
      ["bare INSERTs, bun:sqlite", "put_bun_sqlite.ts"],
      ["bare INSERTs, C", "bare_insert.c"],
      ["plainjob `addMany`", "put_plainjob.ts"],
    ],
  );
  for (const synchronous of ["NORMAL", "FULL"] as const) {
    await table(
      synchronous === "FULL" ? "64 callers, surviving power cuts" : "64 concurrent callers",
      "64 callers; each puts its next event when the last one is committed. The ratio is to `putAsync`.",
      { ...base, mode: "grouped", synchronous, width: 64, events: 50_000 * scale },
      [
        ["**eventspool `putAsync`**", "put_eventspool.ts"],
        ["bunqueue, embedded, durable", "put_bunqueue.ts", "NORMAL"],
        [
          "BullMQ, redis-server",
          "put_bullmq.ts",
          synchronous === "FULL" ? "AOF always" : "AOF everysec",
          redis,
        ],
      ],
    );
  }
  return tables;
}
