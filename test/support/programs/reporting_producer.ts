/** Puts `{"n":1}`, `{"n":2}`, ... for ever: `reporting_producer.ts DIRECTORY`. Prints each number once its put has returned. */
import { writeSync } from "node:fs";
import process from "node:process";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

const STDOUT = 1;

const [directory = ""] = process.argv.slice(2);
const queue = new EventQueue("main", serializeJsonEvent, { directory, maxEvents: 1_000_000 });
for (let n = 1; ; n++) {
  queue.put({ n });
  report(n);
}

/** Waits for the reader of a full pipe, which does not block under Node. */
function report(n: number): void {
  for (;;) {
    try {
      writeSync(STDOUT, `${n}\n`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}
