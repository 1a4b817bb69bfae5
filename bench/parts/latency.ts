/** The latency of a put while others put and a publisher works. */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import type { How } from "../programs/latency_producer.ts";
import { program, type Settings } from "../settings.ts";

const NOTE =
  "Four processes put, and a publisher delivers to a collector that responds at once. With six processes on two cores, the kernel's scheduling is part of the tail. The row without puts shows how much: its producers only compute, at the same pace, and a fifth process keeps the publisher equally busy.";

const COLUMNS: readonly Column[] = [
  { figure: "p50Ms", title: "p50 ms", digits: 3 },
  { figure: "p99Ms", title: "p99 ms", digits: 3 },
  { figure: "p999Ms", title: "p99.9 ms", digits: 3 },
  { figure: "worstMs", title: "worst ms", digits: 1 },
  { figure: "perS", title: "puts/s in total" },
  { figure: "undelivered", title: "left in the queue" },
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
          ? [entry("no put, only 20 us of computing, beside a publisher", { how: "compute", perSecond })]
          : []),
        entry("bare INSERT, SQLite's own lock wait and checkpoints, no publisher", {
          how: "bare",
          perSecond,
        }),
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
