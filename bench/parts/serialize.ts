/** Serializing Thrift events. */
import { type Contestant, race, type Table } from "../measure.ts";
import { pathOf, program, pythonWith, type Settings } from "../settings.ts";

const NO_BASEPLATE = "no python3 here that has baseplate.py";
const IDL = pathOf("../../examples/thrift/event.thrift");

/** The table of `serialize`. */
export async function serialize({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const task = { mode: "one", synchronous: "NORMAL", eventBytes: 0, width: 1, directory };
  const entry = (name: string, engine: string, { durability = "", events = 300_000 } = {}) => {
    const json = JSON.stringify({ ...task, events: events * scale });
    return { name, durability, command: program("serialize.ts", json, engine) };
  };
  const python = pythonWith("baseplate.lib.events, thrift");
  const baseplate = (
    name: string,
    engine: string,
    { durability = "", events = 100_000 } = {},
  ): Contestant => {
    const json = JSON.stringify({ ...task, events: events * scale });
    const command = [python ?? "", pathOf("programs/baseplate_put.py"), json, engine, IDL];
    return { name, durability, command, missing: python === undefined ? NO_BASEPLATE : undefined };
  };
  const results = await race(
    [
      entry("npm thrift, TJSONProtocol", "npm thrift"),
      entry("**eventspool `serializeV2Event`**", "ours"),
      entry("**eventspool, serialized and put**", "put", { durability: "NORMAL", events: 60_000 }),
      baseplate("baseplate.py `serialize_v2_event`", "serialize"),
      baseplate("baseplate.py, serialized and put", "put", { durability: "in memory" }),
    ],
    repeats,
  );
  const note =
    "A Thrift event of 15 fields in 4 structs, 290 bytes of JSON, one at a time. The ratio is to npm thrift, which cannot write a bare struct and so writes it in a message. baseplate.py puts into a kernel queue in memory that a second process empties.";
  return [
    {
      title: "Thrift JSON",
      note,
      ratioOf: "perS",
      columns: [{ figure: "perS", title: "events/s" }],
      results,
    },
  ];
}
