/**
 * A service that puts numbered events, one by one, in lists and in groups, and marks what has been put; now and then
 * its operator retries or purges the dead letters: `service.ts DIRECTORY MARKS DURABILITY COUNT [LARGE]`. After half of
 * COUNT it puts LARGE events of 90 kB, and waits until a publisher has trimmed and compacted the file.
 */
import { statSync } from "node:fs";
import { argv } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueue } from "../../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../../src/serializers/json.ts";
import { DeadLetterTable } from "../../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../../src/storage/events.ts";
import { QueueFile } from "../../../../src/storage/queue_file.ts";
import { eventually } from "../../../support/eventually.ts";
import { numbersFrom } from "../../../support/scripted_collector.ts";
import { openMarks } from "./marks.ts";

const POISON_EVERY = 20;
const LARGE_BYTES = 90_000;

const SMALL_GROUPS = 12;
const GROUP_EVENTS = 2;
const GROUP_BREAK_MS = 15;

/** What a file of large events and a compacted one are larger and smaller than, in bytes. */
const LARGE_FILE_BYTES = 4_000_000;
const COMPACTED_BYTES = 1_000_000;

const [directory, marks, durability, count, large = "0"] = argv.slice(2) as [
  string,
  string,
  "process" | "power",
  string,
  string?,
];
const mark = openMarks(marks);
const queue = new EventQueue("main", serializeJsonEvent, { directory, durability, maxEvents: 100_000 });
const file = QueueFile.open(queue.file, { role: "producer", durability, busyTimeoutMs: 5_000 });
const deadLetters = new DeadLetterTable(file);
const half = Number(count) / 2;
let n = 1;
await putSome(half);
if (Number(large) > 0) await growAndShrink(half + Number(large));
await putSome(n + half - 1);
file.close();
queue.close();

async function putSome(until: number): Promise<void> {
  for (let turn = 0; n <= until; turn++) {
    const last = n + [0, 0, 6, 2, 0][turn % 5]!;
    const events = numbersFrom(n, last).map((n) => ({ n, is: n % POISON_EVERY === 0 ? "poison" : "good" }));
    if (turn % 5 === 2) queue.putMany(events);
    else if (turn % 5 === 3) await Promise.all(events.map((event) => queue.putAsync(event)));
    else queue.put(events[0]!);
    mark(`put ${n}-${last}`);
    n = last + 1;
    if (turn % 5 === 4) attend();
    await sleep(1);
  }
}

/** Retries the older half of the dead letters, and purges the others. */
function attend(): void {
  const dead = deadLetters.list({ limit: 100 }).map(({ id }) => id);
  if (dead.length < 2) return;
  const middle = dead.length >> 1;
  deadLetters.retry(dead.slice(0, middle), new EventTable(file));
  const purged = dead.slice(middle);
  for (const id of purged) mark(`purge ${JSON.parse(Buffer.from(deadLetters.get(id)!.body).toString()).n}`);
  deadLetters.purge(purged);
}

/** First in small groups, so that some wait while those before them are trimmed. */
async function growAndShrink(until: number): Promise<void> {
  for (let group = 1; n <= until; group++) {
    const last = group > SMALL_GROUPS ? until : n + GROUP_EVENTS - 1;
    queue.putMany(numbersFrom(n, last).map((n) => ({ n, is: "good", text: "x".repeat(LARGE_BYTES) })));
    mark(`put ${n}-${last}`);
    n = last + 1;
    await sleep(GROUP_BREAK_MS);
  }
  const fileBytes = (): number => statSync(queue.file).size;
  await eventually("a checkpoint of the large events", () => fileBytes() > LARGE_FILE_BYTES);
  await eventually("a compacted file", () => fileBytes() < COMPACTED_BYTES);
}
