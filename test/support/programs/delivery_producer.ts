/** Puts the events of a delivery: `delivery_producer.ts DIRECTORY`. */
import process from "node:process";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { EVENT_COUNT } from "../delivery.ts";

const [, , directory] = process.argv;
const events = new EventQueue("main", serializeJsonEvent, directory === undefined ? {} : { directory });
for (let n = 1; n <= EVENT_COUNT; n++) events.put({ n });
events.close();
