/**
 * The publisher: emptying a full queue, and keeping up.
 *
 * @module
 */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import { program, type Settings } from "../settings.ts";

const DRAIN: readonly Column[] = [
  { figure: "perS", title: "events/s" },
  { figure: "cpuUs", title: "CPU us/event", digits: 2 },
  { figure: "maxRssMb", title: "most memory, MB" },
  { figure: "requests", title: "requests" },
  { figure: "maxInFlight", title: "most in flight" },
];

const KEEP_UP: readonly Column[] = [
  { figure: "putPerS", title: "put/s" },
  { figure: "deliveredPerS", title: "put to accepted/s" },
];

/** The tables of `drain`. */
export async function drain({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const entry = (name: string, options: object): Contestant => {
    const task = { directory, events: Math.ceil((1_000_000 * scale) / 1_000) * 1_000, ...options };
    return { name, durability: "NORMAL", command: program("drain.ts", JSON.stringify(task)) };
  };
  const drained = await race(
    [
      entry("collector answers at once, gzip level 1", {}),
      entry("gzip level 6", { settings: { "batch.gzip_level": 6 } }),
      entry("collector 50 ms away", { delayMs: 50 }),
      entry("collector 200 ms away", { delayMs: 200 }),
    ],
    Math.min(repeats, 3),
  );
  const keepUp = (name: string, publishes: boolean): Contestant => {
    const task = { directory, events: Math.ceil(500_000 * scale), publishes };
    return { name, durability: "NORMAL", command: program("keep_up.ts", JSON.stringify(task)) };
  };
  const kept = await race([keepUp("no publisher", false), keepUp("beside a publisher", true)], repeats);
  return [
    {
      title: "Draining a full queue",
      note: "1,000,000 waiting events of 336 bytes with random identifiers, sent as v2j over HTTP on loopback, 4 in flight at first and as many as help then, up to 32. CPU is the publisher's, all threads.",
      ratioOf: "perS",
      columns: DRAIN,
      results: drained,
    },
    {
      title: "One producer at full speed",
      note: "put one at a time, alone and beside its publisher. The second figure ends when the collector has accepted the last event.",
      ratioOf: "putPerS",
      columns: KEEP_UP,
      results: kept,
    },
  ];
}
