/**
 * A queue of version 1 is upgraded, and later replaced by a backup of itself; each time a service and a publisher use
 * it, and what the collector has seen is marked: `moved_queue.ts DIRECTORY MARKS`.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { EventQueue } from "../../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../../src/serializers/json.ts";
import { APPLICATION_ID } from "../../../../src/storage/queue_file.ts";
import { FakeCollector, publish, responses } from "../../../../src/testing/mod.ts";
import { eventually } from "../../../support/eventually.ts";
import { createVersion1 } from "../../../support/schema_1.ts";
import { openShell } from "../../../support/shell.ts";
import { openMarks } from "./marks.ts";

/** How many events are put before the backup, between it and the restore, and afterwards. */
const EACH = 12;

const [directory = "", marks = ""] = argv.slice(2);
const mark = openMarks(marks);
const path = join(directory, "events-main.db");
await using collector = await FakeCollector.open();
collector.respond = (request, nth) => {
  const seen = (request.events as { n: number }[]).map(({ n }) => ({ n, isRejected: false }));
  mark(`seen 200 ${request.eventIds} ${JSON.stringify(seen)}`);
  return responses.accept()(request, nth);
};
let n = makeVersion1();
await use();
const backup = readFileSync(path);
await use();
restore(backup);
await use();

/** Returns the number of the next event. */
function makeVersion1(): number {
  const db = openShell(path);
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA application_id = ${APPLICATION_ID}`);
  createVersion1(db);
  for (const table of ["eventspool_event", "eventspool_dead_letter"])
    db.exec(`UPDATE ${table} SET body = CAST('{"n":' || id || ',"is":"good"}' AS BLOB)`);
  db.close();
  sync(path);
  sync(directory);
  mark("put 5-12");
  mark("begin");
  return 13;
}

/** A service and a publisher, from opening the queue to closing it. */
async function use(): Promise<void> {
  const queue = new EventQueue("main", serializeJsonEvent, { directory, durability: "power" });
  const publisher = publish(queue, collector);
  for (const last = n + EACH; n < last; n++) {
    queue.put({ n, is: "good" });
    mark(`put ${n}-${n}`);
  }
  await eventually("an empty queue", () => queue.depth() === 0);
  await publisher[Symbol.asyncDispose]();
  queue.close();
}

/** As an operator does: the old file is moved away. */
function restore(content: Buffer): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 });
  sync(`${path}.new`);
  renameSync(path, `${path}.old`);
  renameSync(`${path}.new`, path);
  sync(directory);
}

function sync(file: string): void {
  const descriptor = openSync(file, "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
}
