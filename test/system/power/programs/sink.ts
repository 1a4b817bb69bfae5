/** Stores batches in a sink, two at a time, and marks what is kept: `sink.ts KIND DIRECTORY MARKS COUNT`. */
import { argv } from "node:process";
import { SINK_KINDS } from "../../../support/sinks.ts";
import { batchNumber, batchOfSink } from "../sink_batches.ts";
import { openMarks } from "./marks.ts";

const [kind, directory, marks, count] = argv.slice(2) as [keyof typeof SINK_KINDS, string, string, string];
const mark = openMarks(marks);
const sink = SINK_KINDS[kind].open(directory, "always");
let next = 1;

async function send(): Promise<void> {
  while (next <= Number(count)) {
    const nth = next++;
    const { firstId, lastId } = batchNumber(nth);
    await sink.store(batchOfSink(nth));
    mark(`kept ${firstId}-${lastId}`);
    if (nth % 5 === 0) await sink.store(batchOfSink(nth - 1));
  }
}

await Promise.all([send(), send()]);
await sink.close();
