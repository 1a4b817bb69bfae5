/**
 * Power cuts: real processes are recorded once, and then the disk is cut at many points of the record. What is left is
 * opened again, and must be as promised. `bun run faults power` does many; power_cuts.test.ts a quick part.
 */
import { parseArgs } from "node:util";
import { formatTable } from "../../../src/format.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { QUEUE_WORKLOADS } from "./queue_workloads.ts";
import {
  type Mark,
  type Names,
  type Operation,
  RecordedDisk,
  randomFrom,
  readRecord,
  restore,
} from "./recorded_disk.ts";
import { Recorder } from "./recorder.ts";
import { SINK_WORKLOADS } from "./sink_workloads.ts";

/** What programs do to the disk, and what must be left of it after a power cut. */
export interface Workload {
  readonly name: string;
  /** Runs the programs to their ends. */
  run(recorder: Recorder): Promise<void>;
  /** Opens what a cut has left. Throws when something is not as promised. */
  check(left: Left): void | Promise<void>;
}

/** What a cut has left. */
export interface Left {
  /** The directory. */
  readonly root: string;
  /** What the programs had marked until then. */
  readonly marks: readonly Mark[];
  /** When it was, in microseconds of the marks' clock. */
  readonly timeUs: number;
  /** Notes an event that was put and that is lost where losing it is allowed, and how old it was. */
  lose(ageMs: number): void;
}

/** What came of many cuts. */
export interface Outcome {
  readonly cuts: number;
  /** How many events were lost at most in one cut, where that is allowed. */
  readonly mostLost: number;
  /** How old the oldest of them was, in milliseconds. */
  readonly oldestLostMs: number;
}

/** How a program marks that what it did until then is not to be cut. */
const BEGIN = Buffer.from("begin\n");

/** All workloads. */
export const WORKLOADS: readonly Workload[] = [...QUEUE_WORKLOADS, ...SINK_WORKLOADS];

/** How often the disk is cut, and by which seed. */
export interface CutOptions {
  readonly cuts: number;
  readonly seed: number;
  /** Where a run that failed was kept: it is cut again, as it was. */
  readonly kept?: string | undefined;
}

/**
 * Records a workload, and cuts the disk at `cuts` points of it, chosen by `seed`. A run that fails is kept.
 * @throws {Error} what was not as promised, with the command that shows it again
 */
export async function cutPower(workload: Workload, { cuts, seed, kept }: CutOptions): Promise<Outcome> {
  using recorder = new Recorder(kept);
  if (kept === undefined) await workload.run(recorder);
  const operations = readRecord(recorder.record);
  const disks = { journaled: new RecordedDisk("journaled"), synced: new RecordedDisk("synced") };
  const outcome = { cuts, mostLost: 0, oldestLostMs: 0 };
  let done = 0;
  for (const [nth, point] of pointsOf(operations, { cuts, seed }).entries()) {
    for (; done <= point; done++) for (const disk of Object.values(disks)) disk.apply(operations[done]!);
    const names: Names = nth % 2 === 0 ? "journaled" : "synced";
    try {
      const lost = await cutOnce(workload, { disk: disks[names], root: recorder.root, seed: seed + nth });
      outcome.mostLost = Math.max(outcome.mostLost, lost.length);
      outcome.oldestLostMs = Math.max(outcome.oldestLostMs, ...lost);
    } catch (cause) {
      recorder.keep();
      const again = `bun run faults power --workload "${workload.name}" --seed ${seed} --cuts ${cuts} --kept ${recorder.home}`;
      const where = `${workload.name}: cut ${nth} after operation ${point}, names ${names}`;
      throw new Error(`${where}: ${(cause as Error).message}\nAgain: ${again}`, { cause });
    }
  }
  return outcome;
}

/** Half of them anywhere, and half where something else happens than a write: there the order is decided. */
function pointsOf(operations: readonly Operation[], { cuts, seed }: CutOptions): number[] {
  const random = randomFrom(seed);
  const first = operations.findIndex(({ data }) => data.equals(BEGIN)) + 1;
  const all = numbersFrom(first, operations.length - 1);
  const turns = all.filter((nth) => operations[nth]!.type !== "W");
  const choose = (some: readonly number[]): number => some[Math.floor(random() * some.length)]!;
  const points = Array.from({ length: cuts }, (_, nth) => choose(nth % 2 === 0 ? all : turns));
  return points.sort((a, b) => a - b);
}

/** Cuts the power once, and returns how old the events were that may be lost and are, in milliseconds. */
async function cutOnce(
  { check }: Workload,
  { disk, root, seed }: { disk: RecordedDisk; root: string; seed: number },
): Promise<number[]> {
  restore(root, disk.cut(randomFrom(seed)));
  const lost: number[] = [];
  const { marks, timeUs } = disk;
  await check({ root, marks, timeUs, lose: (ageMs) => void lost.push(ageMs) });
  return lost;
}

/** `bun run faults power [--seeds N] [--cuts N]`: cuts each workload `cuts` times by each seed, and prints what came of it. Returns how many failed. */
export async function cutMany(args: string[]): Promise<number> {
  const string = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { seeds: string, cuts: string, seed: string, workload: string, kept: string },
  });
  const { seeds = "1", cuts = "1000", seed = String(Date.now() % 1_000_000_000), workload, kept } = values;
  if (Recorder.missing !== undefined) throw new Error(Recorder.missing);
  const rows: string[][] = [];
  let failed = 0;
  for (const chosen of WORKLOADS.filter(({ name }) => name === (workload ?? name))) {
    let [done, mostLost, oldestLostMs] = [0, 0, 0];
    for (let nth = 0; nth < Number(seeds); nth++) {
      try {
        const options = { cuts: Number(cuts), seed: Number(seed) + nth * Number(cuts), kept };
        const outcome = await cutPower(chosen, options);
        done += outcome.cuts;
        mostLost = Math.max(mostLost, outcome.mostLost);
        oldestLostMs = Math.max(oldestLostMs, outcome.oldestLostMs);
      } catch (error) {
        failed++;
        console.log((error as Error).message);
      }
    }
    rows.push([chosen.name, String(done), String(mostLost), oldestLostMs.toFixed(0)]);
  }
  console.log(formatTable(["power cuts", "cuts", "most lost", "oldest lost (ms)"], rows).join("\n"));
  return failed;
}
