/**
 * What a put costs while others put and a publisher works.
 *
 * @module
 */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import { program, type Settings } from "../settings.ts";

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
  const entry = (name: string, perSecond: number, events: number): Contestant => {
    const task = { directory, producers: 4, perSecond, events: Math.ceil(events * scale) };
    return { name, durability: "NORMAL", command: program("latency.ts", JSON.stringify(task)) };
  };
  const results = await race(
    [entry("4 producers at 1,000/s each", 1_000, 200_000), entry("4 producers at full speed", 0, 800_000)],
    Math.min(repeats, 3),
  );
  const note =
    "Four processes put while a publisher delivers to a collector that answers at once: six busy processes, and whatever the kernel takes away from them is in the tail.";
  return [{ title: "The tail of put, under load", note, columns: COLUMNS, results }];
}
