/**
 * Stores batches in one sink of each kind, two at a time, and marks what is kept: `sinks.ts DIRECTORY MARKS COUNT`. Each
 * sink has a directory of its own.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { argv } from "node:process";
import { SINK_KINDS } from "../../../support/sinks.ts";
import { batchNumber, batchOfSink } from "../sink_batches.ts";
import { openMarks } from "./marks.ts";

const [directory = "", marks = "", count] = argv.slice(2);
const mark = openMarks(marks);

await Promise.all(Object.keys(SINK_KINDS).map((kind) => fill(kind as keyof typeof SINK_KINDS)));

async function fill(kind: keyof typeof SINK_KINDS): Promise<void> {
  mkdirSync(join(directory, kind), { recursive: true });
  const sink = SINK_KINDS[kind].open(join(directory, kind), "always");
  let next = 1;
  const send = async (): Promise<void> => {
    while (next <= Number(count)) {
      const nth = next++;
      const { firstId, lastId } = batchNumber(nth);
      await sink.store(batchOfSink(nth));
      mark(`${kind} kept ${firstId}-${lastId}`);
      if (nth % 5 === 0) await sink.store(batchOfSink(nth - 1));
    }
  };
  await Promise.all([send(), send()]);
  await sink.close();
}
