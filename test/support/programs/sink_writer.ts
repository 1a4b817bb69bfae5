/**
 * Stores batches of events that begin with their ids until it is killed, several at once and of many sizes, up to 160
 * kilobytes, and prints `kept FIRST-LAST` for each. Now and then it sends again what was kept.
 *
 * Usage: sink_writer.ts KIND DIRECTORY FIRST_ID FSYNC
 */
import process from "node:process";
import type { AcceptedBatch } from "../../../src/collector/sinks/sink.ts";
import { batchOf, queueUuid } from "../batches.ts";
import { SINK_KINDS } from "../sinks.ts";

const [kind, directory, firstId, fsync] = process.argv.slice(2);
const sink = SINK_KINDS[kind as keyof typeof SINK_KINDS].open(directory!, fsync as "always" | "never");
let nextId = Number(firstId);

function batch(first: number, last: number): AcceptedBatch {
  const events: string[] = [];
  for (let id = first; id <= last; id++) events.push(`"${id} ${"x".repeat(id % 5 === 0 ? 20_000 : 100)}"`);
  return batchOf(events, `${queueUuid(1)}:${first}-${last}`);
}

async function send(lane: number): Promise<void> {
  for (;;) {
    const first = nextId;
    nextId += 1 + ((first * 7 + lane) % 40);
    const last = nextId - 1;
    await sink.store(batch(first, last));
    process.stdout.write(`kept ${first}-${last}\n`);
    if (last % 5 === 0) await sink.store(batch(Math.max(1, first - 10), last));
  }
}

await Promise.all([1, 2, 3, 4].map(send));
