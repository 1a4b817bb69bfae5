/** Has one put rejected, and ends by itself: `rejected_once.ts DIRECTORY`. */
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
