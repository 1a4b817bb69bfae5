import { type Stats, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import process from "node:process";
import { EventStorageError } from "../../errors.ts";
import { countOf, formatDuration, formatMode, formatSize } from "../../format.ts";
import { freeBytesOf, isNearlyFull } from "../../storage/disk_space.ts";
import { EpochTable, ROLLED_BACK_WARNING_MS } from "../../storage/epochs.ts";
import { EventTable, NEARLY_FULL, type QueueState } from "../../storage/events.ts";
import { networkFileSystemOf } from "../../storage/file_system.ts";
import type { Epoch } from "../../storage/identity.ts";
import { type LeaseInfo, LeaseTable } from "../../storage/leases.ts";
import { exposuresOf } from "../../storage/locations.ts";
import type { QueueFile } from "../../storage/queue_file.ts";
import { isJson } from "../../storage/salvage.ts";
import { VERSION } from "../../version.ts";
import { formatIdRange, rangesOf } from "../../wire/event_ids.ts";
import {
  type Call,
  existingFile,
  hint,
  JSON_OUTPUT,
  openToRead,
  openToWrite,
  QUEUE_OR_OUTBOX,
  type Style,
  type Verb,
} from "./verb.ts";

const MARKS: Readonly<Record<Finding["level"], string>> = {
  ok: "ok      ",
  warning: "WARNING ",
  problem: "PROBLEM ",
};

const STYLES: Readonly<Record<Finding["level"], Style>> = { ok: "green", warning: "yellow", problem: "red" };

/** `eventspool check` */
export const check: Verb = {
  summary: "examine the queue: file, disk, leases, ages, clock",
  options: {
    ...QUEUE_OR_OUTBOX,
    ...JSON_OUTPUT,
    deep: { type: "boolean", help: "also read every event, and all of a large file" },
  },
  details: "It changes nothing. Each problem and warning says what to do.",
  json: "one document: queue, file, problems (how many) and findings, each with level (ok, warning or problem), text, advice and, where there is one, command.",
  fails: "there is a problem",
  examples: ["", "--deep", "--file shop.db"],
  run(call: Call): number {
    const path = existingFile(call);
    const findings: Finding[] = [];
    for (const found of examine(path, call)) {
      const finding = found.command === undefined ? found : { ...found, command: hint(call, found.command) };
      findings.push(finding);
      if (!call.values.json) show(finding, call);
    }
    const problems = findings.filter(({ level }) => level === "problem").length;
    if (call.values.json)
      call.output.line(JSON.stringify({ queue: call.queue, file: path, problems, findings }));
    return problems > 0 ? 1 : 0;
  },
};

function* examine(path: string, call: Call): Generator<Finding> {
  yield ok(`eventspool ${VERSION}, ${runtime()}`);
  yield* examineDirectory(path);
  yield* examineFile(path);
  const isDeep = call.values.deep === true;
  yield* withFile(
    () => openToRead(call),
    (file) => examineQueue(file, isDeep),
  );
  yield* withFile(() => openToWriteOnly(call), examineLock);
}

/** Opens, examines and closes; a file that cannot be opened or read through is a finding, too. */
function* withFile(
  open: () => QueueFile | undefined,
  look: (file: QueueFile) => Generator<Finding>,
): Generator<Finding> {
  try {
    using file = open();
    if (file !== undefined) yield* look(file);
  } catch (error) {
    yield problem((error as Error).message, "until this is corrected, no event is put or delivered");
  }
}

/** Only a file that can be read is opened for writing: that would upgrade an older one, or start with an empty one. */
function openToWriteOnly(call: Call): QueueFile | undefined {
  try {
    openToRead(call).close();
  } catch (error) {
    if (error instanceof EventStorageError) return undefined; // reported already
    throw error;
  }
  return openToWrite(call);
}

function show({ level, text, advice, command }: Finding, { output }: Call): void {
  output.line(`${MARKS[level]} ${text}`, STYLES[level]);
  if (advice !== undefined)
    output.line(`          -> ${advice}${command === undefined ? "" : `: ${command}`}`);
}

function runtime(): string {
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return `Bun ${bun}`;
  return deno === undefined ? `Node ${node}` : `Deno ${deno}`;
}

/** A -wal above this has not been checkpointed for long, in bytes: a publisher begins at 8 MB, producers at 64. */
const LARGE_WAL_BYTES = 80_000_000;

/** Mode, owner and disk of the directory. */
function* examineDirectory(path: string): Generator<Finding> {
  const directory = dirname(path);
  const exposures = exposuresOf(path);
  for (const { problem, advice } of exposures) yield warning(problem, advice);
  if (exposures.length === 0)
    yield ok(`directory ${directory} (mode ${formatMode(statSync(directory).mode)})`);
  const fileSystem = networkFileSystemOf(directory);
  if (fileSystem !== undefined)
    yield warning(
      `${directory} is on ${fileSystem}`,
      "use a local disk: SQLite's locks may not hold there, and break when two hosts use the file",
    );
  const free = `${formatSize(freeBytesOf(directory))} free on the disk`;
  if (isNearlyFull(directory)) yield problem(free, "free some space: puts are rejected, or soon will be");
  else yield ok(free);
}

/** Kind, mode, owner and size of the file. Without a finding it can be opened. */
function* examineFile(path: string): Generator<Finding> {
  const file = statSync(path);
  if (!file.isFile()) {
    yield problem(`${path} is not a regular file`, "move it away, so that a queue can be created there");
    return;
  }
  yield* examineMode(path, file);
  const walBytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  const sizes = `file ${formatSize(file.size)}, -wal ${formatSize(walBytes)}`;
  if (walBytes > LARGE_WAL_BYTES)
    yield warning(sizes, "check that a publisher runs, and that no program keeps the file open for reading");
  else yield ok(sizes);
}

function* examineMode(path: string, { mode, uid }: Stats): Generator<Finding> {
  yield ok(`${path} (mode ${formatMode(mode)}, owner ${uid})`);
  const odd = ["-wal", "-shm"].filter((suffix) => {
    const side = statSync(path + suffix, { throwIfNoEntry: false });
    return side !== undefined && side.uid !== uid;
  });
  if (odd.length > 0)
    yield problem(
      `${odd.join(" and ")} and the file have different owners`,
      `a program ran as another user: give them the owner of the file, uid ${uid}, or it cannot use them (this process runs as uid ${process.getuid?.()})`,
    );
}

/** How many ranges of ids are listed. */
const MAX_SHOWN_RANGES = 20;

/** In a larger file only the pages are checked, in bytes: a full check reads every index, too. */
const QUICK_CHECK_BYTES = 1_073_741_824;

/** A lease that expired so long ago should have been claimed by a publisher, in milliseconds. */
const STUCK_AFTER_MS = 60_000;

/** An older event should have been delivered, in milliseconds. */
const OLD_AFTER_MS = 300_000;

/** Clocks that are a little apart are no finding, in milliseconds. */
const CLOCK_SLACK_MS = 5_000;

/** Everything but the write lock. */
function* examineQueue(file: QueueFile, isDeep: boolean): Generator<Finding> {
  yield* examineIntegrity(file, isDeep);
  if (isDeep) yield* examineEvents(file);
  const state = new EventTable(file).state();
  yield* examineDepth(state);
  yield* examineAge(state);
  yield* examineLeases(leasesIn(file, state));
  yield* examineCounters(file);
  yield* examineSubscriptions(state);
  yield* examineRejected(state);
  yield* examineEpochs(new EpochTable(file).list());
}

/** Whether the write lock is free; it writes nothing. */
function* examineLock(file: QueueFile): Generator<Finding> {
  try {
    file.transaction(() => {});
    yield ok("the write lock is free");
  } catch (error) {
    if (!(error instanceof EventStorageError)) throw error;
    yield problem(error.message, "find the process that holds it with fuser or lsof");
  }
}

function* examineIntegrity(file: QueueFile, isDeep: boolean): Generator<Finding> {
  const isLarge = statSync(file.path).size > QUICK_CHECK_BYTES;
  const pragma = isLarge && !isDeep ? "quick_check" : "integrity_check";
  const found = file.run(() => file.prepareFirst<[], string>(`PRAGMA ${pragma}(5)`).all());
  if (found.length === 1 && found[0] === "ok") yield ok(`${pragma}: ok`);
  else yield damaged(file, `the file is damaged: ${found.join("; ").replaceAll("\n", "; ")}`);
}

/** Reads every event: SQLite has no checksums of its pages, so that its own check does not see a text that changed. */
function* examineEvents(file: QueueFile): Generator<Finding> {
  const broken: number[] = [];
  let count = 0;
  for (const { id, body } of file
    .prepare<[], { id: number; body: Uint8Array }>("SELECT id, body FROM eventspool_event ORDER BY id")
    .iterate()) {
    count++;
    if (!isJson(body)) broken.push(id);
  }
  if (broken.length === 0) yield ok(`${countOf(count, "event")} read: each is JSON`);
  else {
    const ids = rangesOf(broken).slice(0, MAX_SHOWN_RANGES).map(formatIdRange).join(", ");
    yield damaged(
      file,
      `${broken.length} of ${countOf(count, "event")} cannot be read as JSON any more: ids ${ids}`,
    );
  }
}

function damaged({ isOutbox, path }: QueueFile, text: string): Finding {
  if (isOutbox)
    return problem(text, "stop its processes, keep a copy, and restore the database from a backup");
  const advice = "stop its processes, keep a copy, and save what can be read";
  return problem(text, advice, `salvage --to ${basename(path, ".db")}.salvaged.db`);
}

function* examineDepth({ depth, maxEvents, leased }: QueueState): Generator<Finding> {
  const fill = `${depth} of at most ${countOf(maxEvents, "event")}, ${leased} of them leased`;
  if (depth >= maxEvents)
    yield problem(`the queue is full: ${fill}`, "check that its publisher runs and reaches its destination");
  else if (depth >= NEARLY_FULL * maxEvents)
    yield warning(
      `the queue is nearly full: ${fill}`,
      "check that its publisher keeps up, or raise maxEvents",
    );
  else yield ok(fill);
}

function* examineAge({ oldestPutAtMs }: QueueState): Generator<Finding> {
  if (oldestPutAtMs === undefined) return;
  const ageMs = Date.now() - oldestPutAtMs;
  if (ageMs < -CLOCK_SLACK_MS)
    yield warning(
      `the oldest event was put ${formatDuration(-ageMs)} from now`,
      "the clock was set back: only ages are wrong until then",
    );
  else if (ageMs > OLD_AFTER_MS)
    yield problem(
      `the oldest event has waited for ${formatDuration(ageMs)}`,
      "check that a publisher runs for this queue and directory, and its /health",
      "status",
    );
  else yield ok(`the oldest event has waited for ${formatDuration(ageMs)}`);
}

function* examineLeases(leases: readonly LeaseInfo[]): Generator<Finding> {
  const nowMs = Date.now();
  const stuck = leases.filter(({ expiresAtMs }) => nowMs - expiresAtMs > STUCK_AFTER_MS);
  const future = leases.filter(({ claimedAtMs }) => claimedAtMs - nowMs > CLOCK_SLACK_MS);
  if (stuck.length > 0)
    yield problem(
      `${stuck.length} of ${countOf(leases.length, "lease")} expired, and no publisher claims them`,
      "no publisher runs, or it waits for its destination",
      "status",
    );
  if (future.length > 0)
    yield warning(
      `${future.length} of ${countOf(leases.length, "lease")} have a claim time in the future`,
      "the clock was set back: a publisher claims them again",
    );
  if (stuck.length + future.length === 0) yield ok(countOf(leases.length, "lease"));
}

function leasesIn(file: QueueFile, { subscriptions }: QueueState): LeaseInfo[] {
  return subscriptions.flatMap(({ name }) => new LeaseTable(file, 0, { subscription: name }).all());
}

/** What schema.sql says holds at every commit. */
function* examineCounters(file: QueueFile): Generator<Finding> {
  const count = (sql: string): number => file.prepareFirst<[], number>(sql).get() as number;
  const deadLetters = count(
    "SELECT count(*) - (SELECT sum(dead_letter_count) FROM eventspool_subscription) FROM eventspool_dead_letter",
  );
  const homeless = count(`SELECT sum(claimed_id - settled_count -
      (SELECT coalesce(sum(last_id - first_id + 1), 0) FROM eventspool_lease
       WHERE subscription_id = eventspool_subscription.id AND is_replay = 0))
    FROM eventspool_subscription`);
  if (deadLetters !== 0)
    yield warning("the count of dead letters is wrong", "a program changed the file without its triggers");
  if (homeless > 0)
    yield problem(
      `${countOf(homeless, "event")} were claimed and are in no lease: they are never sent`,
      "leases were deleted by hand: move the subscription to an event before them (subscriptions seek)",
      "subscriptions list",
    );
}

/** Best-effort subscriptions that have skipped events. */
function* examineSubscriptions({ subscriptions }: QueueState): Generator<Finding> {
  for (const { name, skipped, skippedAtMs } of subscriptions)
    if (skippedAtMs !== undefined)
      yield warning(
        `subscription ${name} has skipped ${countOf(skipped, "event")}, last ${formatDuration(Date.now() - skippedAtMs)} ago`,
        "see that its publisher runs and keeps up, or raise subscription.lag_limit",
      );
}

/** How many epochs are shown. */
const SHOWN_EPOCHS = 5;

const EPOCH_REASONS: Readonly<Record<Epoch["reason"], string>> = {
  created: "the queue was created",
  moved: "the file was moved, copied or restored, or the machine restarted",
  rolled_back: "the file was rolled back in place",
};

/** When and why the last few epochs began. */
function* examineEpochs(epochs: readonly Epoch[]): Generator<Finding> {
  for (const { firstId, uuid, reason, beganAtMs } of epochs.slice(-SHOWN_EPOCHS)) {
    const text = `events from ${firstId} on are ${uuid}:ID since ${new Date(beganAtMs).toISOString()}: ${EPOCH_REASONS[reason]}`;
    if (reason === "rolled_back" && Date.now() - beganAtMs < ROLLED_BACK_WARNING_MS)
      yield warning(text, "find out who rolled the disk or the file back: events may have been lost with it");
    else yield ok(text);
  }
}

function* examineRejected(state: QueueState): Generator<Finding> {
  const { deadLetters, deadLetterBytes, droppedDeadLetters, rejectedPuts } = state;
  if (deadLetters > 0)
    yield warning(
      `${countOf(deadLetters, "dead letter")} (${formatSize(deadLetterBytes)})`,
      "see why, then retry or purge them",
      "dead list",
    );
  if (droppedDeadLetters > 0)
    yield warning(
      `${countOf(droppedDeadLetters, "dead letter")} were dropped to make room for newer ones`,
      "raise dead_letters.max_count, or retry or purge them sooner",
    );
  const rejected = Object.entries(rejectedPuts).filter(([, count]) => count > 0);
  if (rejected.length > 0)
    yield warning(
      `puts rejected so far: ${rejected.map(([reason, count]) => `${count} ${reason}`).join(", ")}`,
      "each time the service got an error",
    );
}

/** What was found, and what to do about it. */
export interface Finding {
  /** `problem`: act, or events are rejected, not delivered or lost; `warning`: look at it; `ok`. */
  readonly level: "ok" | "warning" | "problem";
  readonly text: string;
  readonly advice?: string;
  /** The command for it. */
  readonly command?: string;
}

function ok(text: string): Finding {
  return { level: "ok", text };
}

function warning(text: string, advice: string, command?: string): Finding {
  return { level: "warning", text, advice, ...(command && { command }) };
}

function problem(text: string, advice: string, command?: string): Finding {
  return { level: "problem", text, advice, ...(command && { command }) };
}
