/**
 * Puts `{"n":1}`, `{"n":2}`, ... for ever, and prints each number once its put has returned:
 * `reporting_producer.ts DIRECTORY [FIRST] [PER_SECOND]`. FIRST is another number to begin with; PER_SECOND
 * leaves breaks between puts. A put that is rejected because the queue or the disk is full is tried again; for
 * the disk, SQLite's code is printed.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EventQueueFullError, EventStorageError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";

const STDOUT = 1;

/** The shortest break between puts, in milliseconds. */
const MIN_BREAK_MS = 5;

const [directory = "", first = "1", perSecond = "Infinity"] = process.argv.slice(2);
const queue = new EventQueue("main", serializeJsonEvent, { directory, maxEvents: 1_000_000 });
const startedAtMs = performance.now();
for (let n = Number(first); ; ) {
  const dueAtMs = startedAtMs + ((n - Number(first)) / Number(perSecond)) * 1_000;
  const breakMs = dueAtMs - performance.now();
  if (breakMs > 0 || !put(n)) await sleep(Math.max(breakMs, MIN_BREAK_MS));
  else print(String(n++));
}

/** False: there is no room. */
function put(n: number): boolean {
  try {
    queue.put({ n });
    return true;
  } catch (error) {
    if (error instanceof EventStorageError) print(error.code);
    else if (!(error instanceof EventQueueFullError)) throw error;
    return false;
  }
}

/** Waits for the reader of a full pipe, which does not block under Node. */
function print(line: string): void {
  for (;;) {
    try {
      writeSync(STDOUT, `${line}\n`);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}
