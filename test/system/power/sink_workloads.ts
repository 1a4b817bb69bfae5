import assert from "node:assert/strict";
import { join } from "node:path";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { SINK_KINDS, type SinkKind } from "../../support/sinks.ts";
import type { Left, Workload } from "./power_cuts.ts";
import type { Recorder } from "./recorder.ts";
import { batchNumber, batchOfSink, eventOf } from "./sink_batches.ts";

const BATCHES = 40;

/** The collector's sinks that keep events in files, with `output.fsync = always`, all at once. */
export const SINK_WORKLOADS: readonly Workload[] = [
  {
    name: "sinks: JSON lines, rotating JSON lines, SQLite",
    run: (recorder: Recorder) => {
      const args = [join(recorder.root, "sinks"), recorder.marks, `${BATCHES}`];
      return recorder.run("test/system/power/programs/sinks.ts", args);
    },
    check: async (left: Left) => {
      for (const [kind, sink] of Object.entries(SINK_KINDS)) await checkSink(kind, sink, left);
    },
  },
];

/** What was kept is there, once, also when all batches come again; what was not yet kept, twice at most. */
async function checkSink(kind: string, { open, read }: SinkKind, { root, marks }: Left): Promise<void> {
  const directory = join(root, "sinks", kind);
  const kept = marks.flatMap(({ text }) => {
    const [, of, first, last] = /^(\S+) kept (\d+)-(\d+)$/.exec(text) ?? [];
    return of === kind ? numbersFrom(Number(first), Number(last)).map(eventOf) : [];
  });
  await using sink = open(directory, "never");
  const left = new Set(read(directory));
  for (const event of kept) assert.ok(left.has(event), `${kind}: ${event} is lost`);
  for (let nth = 1; nth <= BATCHES; nth++) await sink.store(batchOfSink(nth));
  await sink.close();
  const times = new Map<string, number>();
  for (const event of read(directory)) times.set(event, (times.get(event) ?? 0) + 1);
  const { lastId } = batchNumber(BATCHES);
  for (const event of numbersFrom(1, lastId).map(eventOf)) {
    const most = kept.includes(event) ? 1 : 2;
    const found = times.get(event) ?? 0;
    assert.ok(1 <= found && found <= most, `${kind}: ${found} times ${event.slice(0, 9)}`);
  }
  assert.equal(times.size, lastId);
}
