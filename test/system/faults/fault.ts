/**
 * What a fault is, and what is counted. `bun run faults` prints the counts of all of them in full; faults.test.ts, here
 * and in test/runtime, runs a quick part of each.
 */
import assert from "node:assert/strict";
import { namedIds, type ScriptedCollector } from "../../support/scripted_collector.ts";

/** One kind of fault: it happens `rounds` times, and nothing may be lost. */
export interface Fault {
  /** What happens, in a few words. */
  readonly name: string;
  /** How often in the full run. */
  readonly rounds: number;
  /** How often in the tests. */
  readonly quickRounds: number;
  /** Why it cannot be had here; undefined: it can. */
  readonly skip?: string | undefined;
  /** Makes it happen. Throws when something else than a lost event is wrong. */
  run(rounds: number): Promise<Counts>;
}

/** What became of the events. */
export interface Counts {
  /** Events whose put returned. */
  readonly put: number;
  /** Events that the collector accepted, each counted once. */
  readonly delivered: number;
  /** How often it accepted one that it had accepted before. */
  readonly duplicates: number;
  /** Events whose put returned and that the collector never accepted, nor are they dead letters. */
  readonly lost: number;
  /** Dead letters. */
  readonly dead: number;
}

/** Compares what was put with what the collector has. */
export function countUp(
  put: readonly number[],
  collector: ScriptedCollector,
  dead: readonly number[] = [],
): Counts {
  assert.deepEqual(collector.problems, [], "every request is a signed batch");
  checkIds(collector);
  const accepted = collector.acceptedNumbers;
  const delivered = new Set(accepted);
  const buried = new Set(dead);
  return {
    put: put.length,
    delivered: delivered.size,
    duplicates: accepted.length - delivered.size,
    lost: put.filter((n) => !delivered.has(n) && !buried.has(n)).length,
    dead: buried.size,
  };
}

/** Adds up the counts of several rounds. */
export function sumOf(rounds: readonly Counts[]): Counts {
  const sum = (key: keyof Counts): number => rounds.reduce((total, counts) => total + counts[key], 0);
  return {
    put: sum("put"),
    delivered: sum("delivered"),
    duplicates: sum("duplicates"),
    lost: sum("lost"),
    dead: sum("dead"),
  };
}

/** `Event-Ids` gives an event the same id each time it is sent. */
function checkIds({ batches }: ScriptedCollector): void {
  const ids = new Map<number, number>();
  for (const { eventIds, numbers } of batches) {
    const named = namedIds(eventIds);
    assert.equal(named.length, numbers.length, "as many ids as events");
    for (const [position, n] of numbers.entries()) {
      const id = named[position]!;
      assert.equal(ids.get(n) ?? id, id, `event ${n} has one id`);
      ids.set(n, id);
    }
  }
}

/** A whole number from 0 to below `limit`. */
export function random(limit: number): number {
  return Math.floor(Math.random() * limit);
}
