/** The publisher: emptying a full queue, and keeping up. */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import { has, program, type Settings } from "../settings.ts";

const DRAIN: readonly Column[] = [
  { figure: "perS", title: "events/s" },
  { figure: "cpuUs", title: "CPU us/event", digits: 2 },
  { figure: "maxRssMb", title: "peak memory, MB" },
  { figure: "requests", title: "requests" },
  { figure: "maxInFlight", title: "max in flight" },
  { figure: "trimCpuUs", title: "trim: CPU us/event", digits: 2 },
  { figure: "trimmedMs", title: "trim: s until all is gone", divisor: 1_000, digits: 1 },
];

const NOTE =
  "1,000,000 waiting events of 336 bytes with random identifiers, sent as v2j over HTTP on loopback. 4 requests are in flight at first, and up to 32 if that helps. CPU is of all threads of the publisher. The ratio is to a bare loop without leases, network or deletes. Delivered events are trimmed once the queue is idle: the last two columns.";

const KEEP_UP: readonly Column[] = [
  { figure: "putPerS", title: "put/s" },
  { figure: "deliveredPerS", title: "put to accepted/s" },
  { figure: "cpuUs", title: "publisher's CPU us/event", digits: 2 },
  { figure: "maxRssMb", title: "its memory, MB" },
];

const STEADY: readonly Column[] = [
  { figure: "cpuUs", title: "publisher's CPU us/event", digits: 1 },
  { figure: "batchEvents", title: "events a request" },
  { figure: "p50Us", title: "put p50 us" },
  { figure: "p99Us", title: "put p99 us" },
  { figure: "maxRssMb", title: "its memory, MB" },
];

/** The table of `steady`. */
export async function steady({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const results = await race(
    [1_000, 10_000].map((perSecond): Contestant => {
      const task = { directory, perSecond, durationMs: Math.max(5_000, 20_000 * scale) };
      return {
        name: `${perSecond.toLocaleString("en")} events/s`,
        durability: "NORMAL",
        command: program("steady.ts", JSON.stringify(task)),
      };
    }),
    Math.min(repeats, 3),
  );
  return [
    {
      title: "One producer at a steady rate",
      note: "One process puts at this rate, and a publisher with default settings delivers to a collector on loopback that responds at once. CPU is of all threads of the publisher.",
      columns: STEADY,
      results,
    },
  ];
}

/** The tables of `drain`. */
export async function drain({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const events = Math.ceil((1_000_000 * scale) / 1_000) * 1_000;
  const ours = (name: string, options: object): Contestant => {
    const command = program("drain.ts", JSON.stringify({ directory, events, ...options }));
    return { name: `**eventspool**, ${name}`, durability: "NORMAL", command };
  };
  const floor = (name: string, options: object): Contestant => {
    const task = { directory, events: Math.min(events, 500_000), ...options };
    return { name, durability: "NORMAL", command: program("drain_floor.ts", JSON.stringify(task)) };
  };
  const table = async (level: number, contestants: readonly Contestant[]): Promise<Table> => ({
    title: `Draining a full queue, gzip level ${level}`,
    note: NOTE,
    ratioOf: "perS",
    columns: DRAIN,
    results: await race(
      [
        floor("bare loop: read, HMAC, gzip", { level, deletes: false }),
        floor("bare loop with delete and checkpoint", { level, deletes: true }),
        ...contestants,
      ],
      Math.min(repeats, 3),
    ),
  });
  const level1 = await table(1, [
    ours("collector responds at once", {}),
    ours("collector 50 ms away", { delayMs: 50 }),
    ours("collector 200 ms away", { delayMs: 200 }),
  ]);
  const level6 = await table(6, [
    ours("collector responds at once", { settings: { "batch.gzip_level": 6 } }),
  ]);
  const keepUp = (name: string, publishes: boolean): Contestant => {
    const task = { directory, events: Math.ceil(500_000 * scale), publishes };
    return { name, durability: "NORMAL", command: program("keep_up.ts", JSON.stringify(task)) };
  };
  const syslog: Contestant = {
    name: "syslog-ng, socket to disk buffer to HTTP; no signature, no gzip",
    durability: "reliable(yes)",
    command: program("keep_up_syslog_ng.ts", JSON.stringify({ directory, events: 500_000 * scale })),
    missing: has("syslog-ng") ? undefined : "no syslog-ng here",
  };
  const kept = await race(
    [
      keepUp("**eventspool**, no publisher", false),
      keepUp("**eventspool**, beside a publisher", true),
      syslog,
    ],
    repeats,
  );
  return [
    level1,
    level6,
    {
      title: "One producer at full speed",
      note: "One put at a time, alone and beside a publisher. The second rate counts until the collector has accepted the last event.",
      ratioOf: "putPerS",
      columns: KEEP_UP,
      results: kept,
    },
  ];
}
