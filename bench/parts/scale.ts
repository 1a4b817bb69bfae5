/**
 * Whether a deep queue is slower than a shallow one.
 *
 * @module
 */
import { race, type Table } from "../measure.ts";
import { program, type Settings } from "../settings.ts";

/** The table of `scale`. */
export async function scale({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const depths = [1_000, 100_000, 1_000_000, ...(scale >= 1 ? [10_000_000] : [])];
  const results = await race(
    depths.map((depth) => ({
      name: `${depth.toLocaleString("en")} events`,
      durability: "NORMAL",
      command: program("scale.ts", JSON.stringify({ depth, directory })),
    })),
    Math.min(repeats, 3),
  );
  return [
    {
      title: "How it grows with depth",
      note: "Microseconds per event in a queue of this depth; claims and acks of 1,500 events. The ratio compares the time of a put.",
      ratioOf: "putUs",
      columns: [
        { figure: "putUs", title: "put us", digits: 1 },
        { figure: "depthUs", title: "depth us", digits: 1 },
        { figure: "claimUs", title: "claim us", digits: 2 },
        { figure: "ackUs", title: "ack us", digits: 2 },
      ],
      results,
    },
  ];
}
