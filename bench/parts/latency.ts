/**
 * What a put costs while others put and a publisher works.
 *
 * @module
 */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import type { How } from "../programs/latency_producer.ts";
import { program, type Settings } from "../settings.ts";

const NOTE =
  "Four processes put, and a publisher delivers to a collector that answers at once: six processes, and whatever the kernel takes away from a producer is in its tail. The row without a put shows how much that is: its producers only compute, at the same pace, while a fifth process keeps the publisher as busy.";

const COLUMNS: readonly Column[] = [
  { figure: "p50Ms", title: "p50 ms", digits: 3 },
  { figure: "p99Ms", title: "p99 ms", digits: 3 },
  { figure: "p999Ms", title: "p99.9 ms", digits: 3 },
  { figure: "worstMs", title: "worst ms", digits: 1 },
  { figure: "perS", title: "puts/s, all together" },
  { figure: "undelivered", title: "left at the end" },
];

/** The tables of `latency`. */
export async function latency({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const entry = (name: string, options: { how: How; perSecond: number }): Contestant => {
    const events = Math.ceil((options.perSecond > 0 ? 200_000 : 800_000) * scale);
    const task = { directory, producers: 4, events, ...options };
    const durability = options.how === "compute" ? "" : "NORMAL";
    return { name, durability, command: program("latency.ts", JSON.stringify(task)) };
  };
  const table = async (title: string, perSecond: number): Promise<Table> => ({
    title,
    note: NOTE,
    columns: COLUMNS,
    results: await race(
      [
        ...(perSecond > 0
          ? [entry("no put, but 20 us of computing, beside a publisher", { how: "compute", perSecond })]
          : []),
        entry("bare INSERT, SQLite's own waiting and checkpoints, no publisher", { how: "bare", perSecond }),
        entry("**eventspool `put`**, beside a publisher", { how: "put", perSecond }),
      ],
      Math.min(repeats, 3),
    ),
  });
  return [
    await table("The tail of put, 4 producers at 1,000/s each", 1_000),
    await table("The tail of put, 4 producers at full speed", 0),
  ];
}
