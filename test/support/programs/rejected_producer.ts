/**
 * Puts into a full queue without a break: `rejected_producer.ts DIRECTORY SECONDS`. Then prints, as JSON, how
 * often it was rejected, what a rejection took at the median, and how much the memory grew.
 */
import process from "node:process";
import { EventQueueFullError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

/** As many of the first rejections are a warm-up. */
const WARM_UP = 20_000;

const [directory = "", seconds = "1"] = process.argv.slice(2);
const queue = new EventQueue("main", serializeJsonEvent, { directory });
const samplesUs = new Float64Array(10_000);
let rejected = 0;
let before = 0;
for (const endMs = performance.now() + Number(seconds) * 1_000; performance.now() < endMs; ) {
  const startMs = performance.now();
  if (put()) throw new Error("the queue has room");
  samplesUs[rejected % samplesUs.length] = (performance.now() - startMs) * 1_000;
  if (++rejected === WARM_UP) before = process.memoryUsage.rss();
}
queue.close();
const medianUs = samplesUs.sort()[samplesUs.length / 2];
console.log(JSON.stringify({ rejected, medianUs, grownBytes: process.memoryUsage.rss() - before }));

function put(): boolean {
  try {
    queue.put({ n: rejected });
    return true;
  } catch (error) {
    if (error instanceof EventQueueFullError) return false;
    throw error;
  }
}
