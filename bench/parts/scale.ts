/** Whether a queue is slower when it is deep, retains many events, or has several subscriptions. */
import { race, type Table } from "../measure.ts";
import type { Task } from "../programs/rounds.ts";
import { program, type Settings } from "../settings.ts";

const COLUMNS = [
  { figure: "putUs", title: "put us", digits: 1 },
  { figure: "depthUs", title: "depth us", digits: 1 },
  { figure: "claimUs", title: "claim us", digits: 2 },
  { figure: "ackUs", title: "ack us", digits: 3 },
];

/** The tables of `scale`. */
export async function scale({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const largest = scale >= 1 ? [10_000_000] : [];
  const table = async (
    title: string,
    key: "waiting" | "retained",
    counts: readonly number[],
  ): Promise<Table> => ({
    title,
    note: `Microseconds per event in a queue with so many ${key} events; claims and acks of 1,500 events, the median of 20. The ratio compares the time of a put.`,
    ratioOf: "putUs",
    columns: COLUMNS,
    results: await race(
      counts.map((count) => ({
        name: `${count.toLocaleString("en")} ${key}`,
        durability: "NORMAL",
        command: program("scale.ts", JSON.stringify({ directory, [key]: count })),
      })),
      Math.min(repeats, 3),
    ),
  });
  return [
    await table("How it grows with depth", "waiting", [1_000, 100_000, 1_000_000, ...largest]),
    await table("How it grows with what is retained", "retained", [0, 100_000, 1_000_000, ...largest]),
    await subscriptions({ scale, repeats, directory }),
  ];
}

async function subscriptions({ scale, repeats, directory }: Settings): Promise<Table> {
  const task: Task = {
    mode: "one",
    synchronous: "NORMAL",
    events: 100_000 * scale,
    eventBytes: 300,
    width: 1,
    directory,
  };
  return {
    title: "How it grows with subscriptions",
    note: "One put at a time, without a publisher. The ratio is to a queue with one subscription; each of the others gets every event, too.",
    ratioOf: "perS",
    columns: [{ figure: "perS", title: "put/s" }],
    results: await race(
      [1, 3, 10].map((subscriptions) => ({
        name: `${subscriptions} subscription${subscriptions === 1 ? "" : "s"}`,
        durability: "NORMAL",
        command: program("put_eventspool.ts", JSON.stringify({ ...task, subscriptions })),
      })),
      repeats,
    ),
  };
}
