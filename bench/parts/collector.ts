/** The other end: collectors, JetStream, many hosts. */
import { type Column, type Contestant, race, type Table } from "../measure.ts";
import { has, program, type Settings } from "../settings.ts";

const COLLECTOR: readonly Column[] = [
  { figure: "perS", title: "events/s" },
  { figure: "cpuUs", title: "CPU us/event", digits: 2 },
  { figure: "perCoreS", title: "events/s per core" },
  { figure: "maxRssMb", title: "peak memory, MB" },
];

const JETSTREAM: readonly Column[] = [
  { figure: "perS", title: "events/s" },
  { figure: "cpuUs", title: "CPU us/event", digits: 2 },
  { figure: "serverUs", title: "nats-server's", digits: 2 },
  { figure: "maxRssMb", title: "peak memory, MB" },
];

const HOSTS: readonly Column[] = [
  { figure: "perS", title: "events/s in total" },
  { figure: "cpuUs", title: "publishers' CPU us/event", digits: 2 },
  { figure: "maxRssMb", title: "memory each, MB" },
];

/** The table of `collector`. */
export async function collector({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const events = Math.ceil(600_000 * scale);
  const floor = (name: string, parses: boolean): Contestant => {
    const task = JSON.stringify({ directory, events, parses });
    return { name, durability: "the kernel's", command: program("collect_floor.ts", task) };
  };
  const ours = (name: string, durability: string, lines: object, version = "2j"): Contestant => {
    const command = program("collect.ts", JSON.stringify({ directory, events, version, lines }));
    return { name: `**eventspool**, ${name}`, durability, command };
  };
  const table: Table = {
    title: "A collector to files",
    note: "Full batches of 1,500 events of 336 bytes, version 2j, gzip level 1, 8 in flight, from one client. The rate per core follows from the CPU per event.",
    ratioOf: "perS",
    columns: COLLECTOR,
    results: await race(
      [
        floor("bare loop: gunzip, HMAC, write", false),
        floor("bare loop, and JSON.parse", true),
        ours("JSON lines, no fsync", "the kernel's", { "output.fsync": "never" }),
        ours("JSON lines", "fdatasync", { "output.fsync": "always" }),
        ours("JSON lines of Thrift structs, no fsync", "the kernel's", { "output.fsync": "never" }, "2"),
        ours("SQLite", "NORMAL", { sink: "sqlite", "output.fsync": "never" }),
      ],
      Math.min(repeats, 3),
    ),
  };
  return [table];
}

/** The table of `jetstream`. */
export async function jetstream({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const events = Math.ceil((150_000 * scale) / 1_500) * 1_500;
  const missing = has("nats-server") ? undefined : "no nats-server here";
  const contestant = (name: string, file: string, task: object): Contestant => ({
    name,
    durability: "file, R1",
    command: program(file, JSON.stringify({ directory, events, ...task })),
    missing,
  });
  const table: Table = {
    title: "Into JetStream",
    note: "Events of 336 bytes with Nats-Msg-Id, one nats-server on the same two cores, a stream on disk. The ratio is to a loop of the library's publish, 1,000 in flight. The collector gets full batches, as above.",
    ratioOf: "perS",
    columns: JETSTREAM,
    results: await race(
      [
        contestant("bare loop of publish", "jetstream.ts", { by: "loop" }),
        contestant("**eventspool**'s publisher, straight", "jetstream.ts", { by: "publisher" }),
        contestant("**eventspool**'s publisher, a batch a message", "jetstream.ts", {
          by: "publisher",
          settings: { "nats.messages": "batch" },
        }),
        contestant("**eventspool**'s collector", "collect.ts", { nats: true, lines: {} }),
      ],
      Math.min(repeats, 3),
    ),
  };
  return [table];
}

/** The tables of `hosts`. */
export async function hosts({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const table = async (title: string, events: number, nats: boolean): Promise<Table> => ({
    title,
    note: "Each host has a full queue and its own publisher. All start at once on the same two cores, and their start counts. The ratio is to one host.",
    ratioOf: "perS",
    columns: HOSTS,
    results: await race(
      [1, 5, 20].map((hosts) => ({
        name: hosts === 1 ? "1 host" : `${hosts} hosts`,
        durability: "NORMAL",
        command: program("hosts.ts", JSON.stringify({ directory, events, hosts, nats })),
        missing: nats && !has("nats-server") ? "no nats-server here" : undefined,
      })),
      Math.min(repeats, 3),
    ),
  });
  return [
    await table("Hosts and one collector", Math.ceil(500_000 * scale), false),
    await table("Hosts straight into JetStream", Math.ceil(100_000 * scale), true),
  ];
}
