/** Puts an event into each of two queues, `logging_producer.ts DIRECTORY [DRIVER [DRIVER]]`, and prints what is logged. */
import process from "node:process";
import { configureSync } from "@logtape/logtape";
import { EventStorageError } from "../../../src/errors.ts";
import { type DriverName, EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

configureSync({
  sinks: { print: ({ message }) => console.log(message.join("")) },
  loggers: [
    { category: ["logtape", "meta"], sinks: [] },
    { category: "eventspool", lowestLevel: "debug", sinks: ["print"] },
  ],
});
const [, , directory = "", first, second = first] = process.argv as DriverName[];
try {
  for (const [name, driver] of [
    ["one", first],
    ["two", second],
  ] as const) {
    using queue = new EventQueue(name, serializeJsonEvent, { directory, ...(driver && { driver }) });
    queue.put({});
  }
} catch (error) {
  const text = (error as Error).message.replace(/^.*: (?=no SQLite)/, "");
  console.log(error instanceof EventStorageError ? `${error.code} ${text}` : text);
}
