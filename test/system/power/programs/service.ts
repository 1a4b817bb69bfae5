/**
 * A service that puts numbered events, one by one, in lists and in groups, and marks what has been put:
 * `service.ts DIRECTORY MARKS DURABILITY COUNT`.
 */
import { argv } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue } from "../../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../../src/serializers/json.ts";
import { numbersFrom } from "../../../support/scripted_collector.ts";
import { openMarks } from "./marks.ts";

const [directory, marks, durability, count] = argv.slice(2) as [string, string, "process" | "power", string];
const mark = openMarks(marks);
const queue = new EventQueue("main", serializeJsonEvent, { directory, durability, maxEvents: 100_000 });
for (let n = 1, turn = 0; n <= Number(count); turn++) {
  const last = n + [0, 0, 6, 2, 0][turn % 5]!;
  const events = numbersFrom(n, last).map((n) => ({ n, is: n % 50 === 0 ? "poison" : "good" }));
  if (turn % 5 === 2) queue.putMany(events);
  else if (turn % 5 === 3) await Promise.all(events.map((event) => queue.putAsync(event)));
  else queue.put(events[0]!);
  mark(`put ${n}-${last}`);
  n = last + 1;
  await sleep(1);
}
queue.close();
