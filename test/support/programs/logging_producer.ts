/** Puts two events into two queues, `logging_producer.ts DIRECTORY`, and prints what is logged. */
import process from "node:process";
import { configureSync } from "@logtape/logtape";
import { EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

configureSync({
  sinks: { print: ({ message }) => console.log(message.join("")) },
  loggers: [
    { category: ["logtape", "meta"], sinks: [] },
    { category: "eventspool", lowestLevel: "debug", sinks: ["print"] },
  ],
});
const [, , directory = ""] = process.argv;
try {
  for (const name of ["one", "two"]) {
    using queue = new EventQueue(name, serializeJsonEvent, { directory });
    queue.put({});
  }
} catch (error) {
  const text = (error as Error).message.replace(/^.*: (?=no SQLite)/, "");
  console.log(error instanceof EventStorageError ? `${error.code} ${text}` : text);
}
