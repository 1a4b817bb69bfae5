/**
 * Serializing Thrift events.
 *
 * @module
 */
import { race, type Table } from "../measure.ts";
import { program, type Settings } from "../settings.ts";

/** The table of `serialize`. */
export async function serialize({ scale, repeats, directory }: Settings): Promise<Table[]> {
  const task = { mode: "one", synchronous: "NORMAL", eventBytes: 0, width: 1, directory };
  const entry = (name: string, engine: string, { durability = "", events = 300_000 } = {}) => {
    const json = JSON.stringify({ ...task, events: events * scale });
    return { name, durability, command: program("serialize.ts", json, engine) };
  };
  const results = await race(
    [
      entry("npm thrift, TJSONProtocol", "npm thrift"),
      entry("**eventspool `serializeV2Event`**", "ours"),
      entry("**eventspool, serialized and put**", "put", { durability: "NORMAL", events: 60_000 }),
    ],
    repeats,
  );
  const note =
    "A Thrift event of 15 fields in 4 structs, 290 bytes of JSON, one at a time. The ratio is to npm thrift, which writes it in a message, since it cannot write it alone.";
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
