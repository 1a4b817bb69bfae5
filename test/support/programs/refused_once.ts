/** Has one put refused, and ends by itself: `refused_once.ts DIRECTORY`. */
import process from "node:process";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

const [directory = ""] = process.argv.slice(2);
const queue = new EventQueue("main", serializeJsonEvent, { directory, maxEvents: 1 });
queue.put({});
try {
  queue.put({});
} catch (error) {
  console.log(String(error));
}
