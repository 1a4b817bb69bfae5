/**
 * What is to be said of what is in a queue's file.
 *
 * @module
 */
import { statSync } from "node:fs";
import { EventStorageError } from "../errors.ts";
import { countOf, formatDuration, formatSize } from "../format.ts";
import { EventTable, type QueueState } from "../store/event_table.ts";
import { type LeaseInfo, LeaseTable } from "../store/lease_table.ts";
import type { QueueFile } from "../store/queue_file.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** A file above this is looked through for broken pages only, in bytes: a full check reads every index, too. */
const QUICK_CHECK_BYTES = 1_073_741_824;

/** A lease that ran out so long ago should have been claimed by a publisher, in milliseconds. */
const STUCK_AFTER_MS = 60_000;

/** An event this old is not on its way as it should be, in milliseconds. */
const OLD_AFTER_MS = 300_000;

/** Clocks that are a little apart are no finding, in milliseconds. */
const CLOCK_SLACK_MS = 5_000;

/** A queue this full will soon refuse. */
const NEARLY_FULL = 0.8;

/** Everything but the write lock. */
export function* examineQueue(file: QueueFile): Generator<Finding> {
  yield* examineIntegrity(file);
  const state = new EventTable(file).state();
  const leases = new LeaseTable(file, 0);
  yield* examineDepth(state);
  yield* examineAge(state);
  yield* examineLeases(leases.all());
  yield* examineCounters(file);
  yield* examineRefused(state);
}

/** Whether the write lock can be had; writes nothing. */
export function* examineLock(file: QueueFile): Generator<Finding> {
  try {
    file.transaction(() => {});
    yield ok("the write lock is free");
  } catch (error) {
    if (!(error instanceof EventStorageError)) throw error;
    yield problem(error.message, "see which process holds it: fuser, lsof");
  }
}

function* examineIntegrity(file: QueueFile): Generator<Finding> {
  const isLarge = statSync(file.path).size > QUICK_CHECK_BYTES;
  const pragma = isLarge ? "quick_check" : "integrity_check";
  const rows = file.run(() => file.db.pragma(`${pragma}(5)`)) as Record<string, string>[];
  const found = rows.map((row) => Object.values(row)[0]!);
  if (found.length === 1 && found[0] === "ok") yield ok(`${pragma}: ok`);
  else
    yield problem(
      `the file is damaged: ${found.join("; ")}`,
      "stop its processes, keep a copy, save what can be read with: queue drain --to FILE",
    );
}

function* examineDepth({ depth, maxEvents, leased }: QueueState): Generator<Finding> {
  const fill = `${depth} of at most ${countOf(maxEvents, "event")}, ${leased} of them leased`;
  if (depth >= maxEvents)
    yield problem(`the queue is full: ${fill}`, "see that its publisher runs and reaches its collector");
  else if (depth >= NEARLY_FULL * maxEvents)
    yield warning(`the queue is nearly full: ${fill}`, "see that its publisher keeps up, or raise maxEvents");
  else yield ok(fill);
}

function* examineAge({ oldestPutAtMs }: QueueState): Generator<Finding> {
  if (oldestPutAtMs === undefined) return;
  const ageMs = Date.now() - oldestPutAtMs;
  if (ageMs < -CLOCK_SLACK_MS)
    yield warning(
      `the oldest event was put ${formatDuration(-ageMs)} from now`,
      "the clock was set back: ages are wrong until then, and nothing else",
    );
  else if (ageMs > OLD_AFTER_MS)
    yield problem(
      `the oldest event has waited for ${formatDuration(ageMs)}`,
      "see that a publisher runs for this queue and directory, and what its /health says",
    );
  else yield ok(`the oldest event has waited for ${formatDuration(ageMs)}`);
}

function* examineLeases(leases: readonly LeaseInfo[]): Generator<Finding> {
  const nowMs = Date.now();
  const stuck = leases.filter(({ expiresAtMs }) => nowMs - expiresAtMs > STUCK_AFTER_MS);
  const future = leases.filter(({ claimedAtMs }) => claimedAtMs - nowMs > CLOCK_SLACK_MS);
  if (stuck.length > 0)
    yield problem(
      `${stuck.length} of ${countOf(leases.length, "lease")} ran out and nobody claims them`,
      "no publisher runs, or it waits for its collector: see /health",
    );
  if (future.length > 0)
    yield warning(
      `${future.length} of ${countOf(leases.length, "lease")} claimed in the future`,
      "the clock was set back: the next publisher claims them anew",
    );
  if (stuck.length + future.length === 0) yield ok(countOf(leases.length, "lease"));
}

/** What schema.sql says holds at every commit. */
function* examineCounters(file: QueueFile): Generator<Finding> {
  const count = (sql: string): number => file.prepare<[], number>(sql).pluck().get() as number;
  const deadLetters = count("SELECT count(*) - (SELECT dead_letter_count FROM queue) FROM dead_letter");
  const homeless = count(`SELECT count(*) FROM event WHERE id <= (SELECT claimed_id FROM queue)
    AND NOT EXISTS (SELECT 1 FROM lease WHERE event.id BETWEEN first_id AND last_id)`);
  if (deadLetters !== 0)
    yield warning("the count of dead letters is wrong", "somebody changed the file without its triggers");
  if (homeless > 0)
    yield problem(
      `${countOf(homeless, "event")} claimed and in no lease: never sent`,
      "somebody deleted leases by hand; save the events with an SQLite shell (table event), and put them again",
    );
}

function* examineRefused(state: QueueState): Generator<Finding> {
  const { deadLetters, deadLetterBytes, droppedDeadLetters, refusedPuts } = state;
  if (deadLetters > 0)
    yield warning(
      `${countOf(deadLetters, "dead letter")} (${formatSize(deadLetterBytes)})`,
      "see why with: queue dead list; then queue dead retry or purge",
    );
  if (droppedDeadLetters > 0)
    yield warning(
      `${countOf(droppedDeadLetters, "dead letter")} made room for newer ones, and cannot be had back`,
      "raise dead_letters.max_count, or look at them sooner",
    );
  const refused = Object.entries(refusedPuts).filter(([, count]) => count > 0);
  if (refused.length > 0)
    yield warning(
      `puts refused so far: ${refused.map(([reason, count]) => `${count} ${reason}`).join(", ")}`,
      "the services were told by an error each time",
    );
}
