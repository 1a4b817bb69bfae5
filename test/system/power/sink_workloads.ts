import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { SINK_KINDS } from "../../support/sinks.ts";
import type { Left, Workload } from "./power_cuts.ts";
import type { Recorder } from "./recorder.ts";
import { batchNumber, batchOfSink, eventOf } from "./sink_batches.ts";

const BATCHES = 40;

/** The collector's sinks that keep events in files, with `output.fsync = always`. */
export const SINK_WORKLOADS: readonly Workload[] = Object.entries(SINK_KINDS).map(
  ([kind, { name, open, read }]) => ({
    name: `sink: ${name}`,
    run: (recorder: Recorder) => {
      mkdirSync(join(recorder.root, "sink"));
      const args = [kind, join(recorder.root, "sink"), recorder.marks, `${BATCHES}`];
      return recorder.run("test/system/power/programs/sink.ts", args);
    },
    /** What was kept is there, once, also when all batches come again; what was not yet kept, twice at most. */
    check: async ({ root, marks }: Left) => {
      const directory = join(root, "sink");
      const kept = marks.flatMap(({ text }) => {
        const [, first, last] = /^kept (\d+)-(\d+)$/.exec(text) ?? [];
        return first === undefined ? [] : numbersFrom(Number(first), Number(last)).map(eventOf);
      });
      await using sink = open(directory, "never");
      const left = new Set(read(directory));
      for (const event of kept) assert.ok(left.has(event), `${event} is lost`);
      for (let nth = 1; nth <= BATCHES; nth++) await sink.store(batchOfSink(nth));
      await sink.close();
      const allowed = (event: string): number[] => (kept.includes(event) ? [1] : [1, 2]);
      const times = new Map<string, number>();
      for (const event of read(directory)) times.set(event, (times.get(event) ?? 0) + 1);
      const { lastId } = batchNumber(BATCHES);
      for (const event of numbersFrom(1, lastId).map(eventOf))
        assert.ok(
          allowed(event).includes(times.get(event) ?? 0),
          `${times.get(event)} times ${event.slice(0, 9)}`,
        );
      assert.equal(times.size, lastId);
    },
  }),
);
