/** Takes what can be read out of a damaged queue file, and makes a new queue of it. */
import { existsSync, rmSync } from "node:fs";
import { EventStorageError } from "../errors.ts";
import type { IdRange } from "../wire/event_ids.ts";
import { type ColumnValue, DamagedFile, type Row, type Tree } from "./damaged_file.ts";
import { QueueFile } from "./queue_file.ts";
import { DEFAULT_SUBSCRIPTION, isSubscriptionName, SETTLE_QUEUE } from "./subscriptions.ts";

/** What was taken out of a damaged file. */
export interface Salvaged {
  /** How many events that are not delivered, as far as the file says that. */
  readonly waiting: number;
  /** How many dead letters. */
  readonly deadLetters: number;
  /** The ids of events that are not known to be delivered, and cannot be read. */
  readonly missing: readonly IdRange[];
  /** Whether the file still says what was delivered to each subscription. */
  readonly knowsDelivered: boolean;
  /** The subscriptions of which it does not: to them all events are taken to wait. */
  readonly repeats: readonly string[];
  /** Whether it still says which subscriptions there were; else some may be missing. */
  readonly knowsSubscriptions: boolean;
  /** Whether it still says the cap, the retention and whether the queue was paused; else they are those of a new queue. */
  readonly knowsSettings: boolean;
  /** Whether the file still says which UUIDs name its events; else a collector cannot know those that it has. */
  readonly knowsNames: boolean;
  /** How many pages the file should have, and how many it has. */
  readonly pages: { readonly expected: number; readonly found: number };
}

interface Event {
  readonly putAtMs: number;
  readonly body: Uint8Array;
  readonly trace: string | null;
}

interface Subscription {
  readonly name: string;
  readonly lagLimitEvents: ColumnValue;
  readonly lagLimitMs: ColumnValue;
  /** The ids that it has not settled: those above its cursor, and those in leases. Undefined: not known. */
  readonly unsettled: readonly IdRange[] | undefined;
}

/** The key of the subscription `default` where its row cannot be read: no row has it. */
const NEW_DEFAULT = 0;

/** A lease is claimed again as a whole: it must not be larger than a batch by much. */
const MAX_LEASE_BYTES = 500_000;
const MAX_LEASE_EVENTS = 1_000;

/** Times before or after these are damaged, in Unix milliseconds: 2020 and 2100. */
const FIRST_TIME_MS = 1_577_836_800_000;
const LAST_TIME_MS = 4_102_444_800_000;

/**
 * Reads a damaged queue file, and writes what can be read to a new one. The events keep their ids and, where they can
 * be read, the UUIDs that name them, so that a collector that drops duplicates drops what it has. The damaged file is
 * not changed.
 *
 * @throws {EventStorageError} `EXISTS`: there is a file at `to`; `NOTHING_FOUND`: no event and no dead letter could be read;
 * the system's codes: the damaged file cannot be read
 */
export function salvage(from: string, to: string): Salvaged {
  if (existsSync(to))
    throw new EventStorageError("EXISTS", to, `${to} exists: it is left as it is. Choose another name.`);
  const damaged = open(from);
  const found = new Finder(damaged);
  const events = found.events();
  const deadLetters = found.deadLetters();
  const isEmpty = found.rows("eventspool_event")?.length === 0; // then its settings and positions are saved
  if (events.size === 0 && deadLetters.length === 0 && !isEmpty) {
    const problem = `No event can be read in ${from}: it is not a queue file, or all of its pages are damaged. Nothing was written.`;
    throw new EventStorageError("NOTHING_FOUND", from, problem);
  }
  try {
    return write(to, { damaged, found, events, deadLetters });
  } catch (error) {
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${to}${suffix}`, { force: true });
    throw error;
  }
}

/** @throws {EventStorageError} the system's error: it does not exist, or may not be read */
function open(path: string): DamagedFile {
  try {
    return new DamagedFile(path);
  } catch (cause) {
    const { code = "UNKNOWN", message } = cause as NodeJS.ErrnoException;
    throw new EventStorageError(code, path, `${path} cannot be read: ${message}.`, { cause });
  }
}

/** Finds the rows of a queue's tables: through the tables, and among pages that no table leads to any more. */
class Finder {
  readonly #file: DamagedFile;
  readonly #roots: ReadonlyMap<string, number>;

  constructor(file: DamagedFile) {
    this.#file = file;
    this.#roots = file.roots();
  }

  events(): Map<number, Event> {
    const events = new Map<number, Event>();
    for (const { id, columns } of this.#all("eventspool_event")) {
      const event = eventOf(columns);
      if (event !== undefined && id > 0 && !events.has(id)) events.set(id, event);
    }
    return new Map([...events].sort(([a], [b]) => a - b));
  }

  deadLetters(): ColumnValue[][] {
    const rows = [...this.#all("eventspool_dead_letter")].map(({ columns }) => [...columns]);
    return rows.filter(isDeadLetter);
  }

  /** The rows of a small table; undefined: it cannot be read as a whole. */
  rows(table: string): Row[] | undefined {
    const { rows, isWhole } = this.readable(table);
    return isWhole ? rows : undefined;
  }

  /** Those rows of a small table that can be read. */
  readable(table: string): { readonly rows: Row[]; readonly isWhole: boolean } {
    const { leaves = [], isWhole = false } = this.#tree(table) ?? {};
    return { rows: leaves.flatMap((leaf) => [...this.#file.rows(leaf)]), isWhole };
  }

  /** Those that the table leads to, and then those of any other page that is in use: the way there may be broken, and rows show by their looks what they are. */
  *#all(table: string): Generator<Row> {
    const { leaves = [], pages = new Set<number>() } = this.#tree(table) ?? {};
    for (const leaf of leaves) yield* this.#file.rows(leaf);
    for (const leaf of this.#file.otherLeaves(pages)) yield* this.#file.rows(leaf);
  }

  #tree(table: string): Tree | undefined {
    const root = this.#roots.get(table);
    return root === undefined ? undefined : this.#file.tree(root);
  }
}

/** The columns of an event; undefined: they are something else, or damaged. Every event is JSON. */
function eventOf(columns: readonly ColumnValue[]): Event | undefined {
  const [id, putAtMs, body, trace = null] = columns;
  if (columns.length < 3 || columns.length > 4 || id !== null) return undefined;
  if (!isTime(putAtMs) || !(body instanceof Uint8Array) || !isJson(body)) return undefined;
  return { putAtMs, body, trace: typeof trace === "string" ? trace : null };
}

function isDeadLetter(columns: readonly ColumnValue[]): boolean {
  const [subscriptionId, id, putAtMs, deadAtMs, attempts, status, response, body] = columns;
  const numbers = [subscriptionId, id, attempts, status];
  return (
    columns.length === 8 &&
    numbers.every((value) => typeof value === "number") &&
    isTime(putAtMs) &&
    isTime(deadAtMs) &&
    typeof response === "string" &&
    body instanceof Uint8Array
  );
}

function isTime(value: ColumnValue | undefined): value is number {
  return typeof value === "number" && value >= FIRST_TIME_MS && value <= LAST_TIME_MS;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Whether a body is JSON in UTF-8, as each event is. */
export function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(strictUtf8.decode(body));
    return true;
  } catch {
    return false;
  }
}

interface Findings {
  readonly damaged: DamagedFile;
  readonly found: Finder;
  readonly events: ReadonlyMap<number, Event>;
  readonly deadLetters: readonly ColumnValue[][];
}

function write(to: string, { damaged, found, events, deadLetters }: Findings): Salvaged {
  const newestId = newestIdOf(found, events, deadLetters);
  const { subscriptions, isWhole } = subscriptionsOf(found, newestId);
  const all = [{ firstId: Math.min(newestId + 1, ...events.keys()), lastId: newestId }];
  const unsettled = [...subscriptions.values()].flatMap((subscription) => subscription.unsettled ?? all);
  const waiting = [...events.keys()].filter((id) => isIn(id, unsettled));
  const settings = settingsOf(found);
  const kept = settings?.hasRetention ? [...events.keys()] : waiting;
  const retried = retriedOf(found, subscriptions);
  const dead = deadLetters.map(([, id]) => Number(id));
  const epochs = found.rows("eventspool_epoch") ?? [];
  const file = QueueFile.open(to, { role: "publisher", durability: "power", busyTimeoutMs: 5_000 });
  try {
    file.transaction(() => {
      writeEvents(file, kept, events);
      writeQueue(file, settings, newestId);
      writeEpochs(file, epochs, newestId);
      for (const [key, subscription] of subscriptions) {
        const isItsOwn = (id: number): boolean => (retried.get(id) ?? key) === key;
        const ids = waiting.filter((id) => isIn(id, subscription.unsettled ?? all) && isItsOwn(id));
        const newKey = writeSubscription(file, subscription, { newestId, ids, events });
        writeDeadLetters(
          file,
          newKey,
          deadLetters.filter(([old]) => ownerOf(Number(old), subscriptions) === key),
        );
        writeRetried(
          file,
          newKey,
          kept.filter((id) => retried.get(id) === key),
        );
      }
      file.db.exec(SETTLE_QUEUE);
    });
  } finally {
    file.close();
  }
  const repeats = [...subscriptions.values()].filter((subscription) => subscription.unsettled === undefined);
  return {
    waiting: waiting.length,
    deadLetters: deadLetters.length,
    missing: gapsIn(
      unsettled,
      [...events.keys(), ...dead].sort((a, b) => a - b),
    ),
    knowsDelivered: repeats.length === 0,
    repeats: repeats.map(({ name }) => name),
    knowsSubscriptions: isWhole,
    knowsSettings: settings !== undefined,
    knowsNames: epochs.length > 0,
    pages: { expected: damaged.pageCount, found: damaged.foundCount },
  };
}

/** Whose a row is: that of the subscription `default` where its own cannot be read. */
function ownerOf(key: number, subscriptions: ReadonlyMap<number, Subscription>): number {
  if (subscriptions.has(key)) return key;
  return [...subscriptions].find(([, { name }]) => name === DEFAULT_SUBSCRIPTION)![0];
}

/** Events for one subscription alone, with its key. */
function retriedOf(found: Finder, subscriptions: ReadonlyMap<number, Subscription>): Map<number, number> {
  const { rows } = found.readable("eventspool_retried");
  const known = rows.filter(({ columns }) => subscriptions.has(Number(columns[1])));
  return new Map(known.map(({ id, columns }) => [id, Number(columns[1])]));
}

/** The highest id that was ever given, as far as anything in the file says so. */
function newestIdOf(
  found: Finder,
  events: ReadonlyMap<number, Event>,
  deadLetters: readonly ColumnValue[][],
): number {
  let newestId = 0;
  const note = (value: ColumnValue | undefined): void => {
    if (typeof value === "number" && Number.isSafeInteger(value)) newestId = Math.max(newestId, value);
  };
  for (const id of events.keys()) note(id);
  for (const [, id] of deadLetters) note(id);
  for (const { columns } of found.rows("eventspool_queue") ?? []) note(columns[4]);
  for (const { columns } of found.rows("eventspool_subscription") ?? []) note(columns[2]);
  for (const { columns } of found.rows("eventspool_lease") ?? []) note(columns[3]);
  return newestId;
}

/**
 * The subscriptions by their ids, with what each has not settled where that can be read and adds up. A wrong number would
 * leave out events: to send some again is better. There is always one that is named `default`.
 */
function subscriptionsOf(
  found: Finder,
  newestId: number,
): { subscriptions: Map<number, Subscription>; isWhole: boolean } {
  const { rows, isWhole } = found.readable("eventspool_subscription");
  const leases = found.rows("eventspool_lease");
  const subscriptions = new Map<number, Subscription>();
  for (const { id, columns } of rows) {
    const [, name, claimedId, settledCount, lagLimitEvents, lagLimitMs] = columns;
    if (typeof name !== "string" || !isSubscriptionName(name)) continue;
    const own = leases?.filter(({ columns }) => columns[1] === id && columns[8] !== 1);
    const unsettled = unsettledOf({ claimedId, settledCount, newestId }, own);
    subscriptions.set(id, { name, ...lagLimitOf(lagLimitEvents, lagLimitMs), unsettled });
  }
  const isComplete = isWhole && subscriptions.size === rows.length;
  const [key = NEW_DEFAULT, known] =
    [...subscriptions].find(([, { name }]) => name === DEFAULT_SUBSCRIPTION) ?? [];
  const isRequired = ({ lagLimitEvents, lagLimitMs }: Subscription): boolean =>
    lagLimitEvents === null && lagLimitMs === null;
  // A queue needs a required subscription: the row of the one that it had may be lost.
  if (known === undefined || ![...subscriptions.values()].some(isRequired))
    subscriptions.set(key, { name: DEFAULT_SUBSCRIPTION, ...lagLimitOf(), unsettled: known?.unsettled });
  return { subscriptions, isWhole: isComplete && known !== undefined };
}

function lagLimitOf(
  events?: ColumnValue,
  ms?: ColumnValue,
): Pick<Subscription, "lagLimitEvents" | "lagLimitMs"> {
  return { lagLimitEvents: isCount(events) ? events : null, lagLimitMs: isCount(ms) ? ms : null };
}

function isCount(value: ColumnValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

/** Undefined: the leases cannot be read although there were some, or the numbers do not add up. */
function unsettledOf(
  {
    claimedId,
    settledCount,
    newestId,
  }: Record<"claimedId" | "settledCount", ColumnValue | undefined> & { newestId: number },
  leases: readonly Row[] | undefined,
): IdRange[] | undefined {
  if (typeof claimedId !== "number" || typeof settledCount !== "number") return undefined;
  const leased = (leases ?? []).map(({ columns }) => ({
    firstId: Number(columns[2]),
    lastId: Number(columns[3]),
  }));
  const leasedCount = leased.reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
  if (settledCount !== claimedId - leasedCount) return undefined;
  return [...leased, { firstId: claimedId + 1, lastId: newestId }];
}

/** What the queue's row says. */
interface Settings {
  readonly maxEvents: ColumnValue;
  readonly batchVersion: ColumnValue;
  readonly retentionMs: ColumnValue;
  readonly retentionBytes: ColumnValue;
  readonly pausedAtMs: ColumnValue;
  readonly hasRetention: boolean;
}

/** Undefined: the row cannot be read. */
function settingsOf(found: Finder): Settings | undefined {
  const columns = found.rows("eventspool_queue")?.[0]?.columns;
  if (columns === undefined) return undefined;
  const [, maxEvents, batchVersion, , , maxAgeMs, maxBytes, , , pausedAtMs] = columns;
  const orNull = (value: ColumnValue | undefined): ColumnValue => (isCount(value) ? value : null);
  const [retentionMs, retentionBytes] = [orNull(maxAgeMs), orNull(maxBytes)];
  return {
    maxEvents: orNull(maxEvents),
    batchVersion: batchVersion === "2" || batchVersion === "2j" ? batchVersion : null,
    retentionMs,
    retentionBytes,
    pausedAtMs: orNull(pausedAtMs),
    hasRetention: retentionMs !== null || retentionBytes !== null,
  };
}

function writeEvents(file: QueueFile, ids: readonly number[], events: ReadonlyMap<number, Event>): void {
  const insert = file.prepare<[number, number, Uint8Array, string | null]>(
    "INSERT INTO eventspool_event (id, put_at_ms, body, trace) VALUES (?, ?, ?, ?)",
  );
  for (const id of ids) {
    const { putAtMs, body, trace } = events.get(id)!;
    insert.run(id, putAtMs, body, trace);
  }
}

function writeQueue(file: QueueFile, settings: Settings | undefined, newestId: number): void {
  const {
    maxEvents = null,
    batchVersion = null,
    retentionMs = null,
    retentionBytes = null,
    pausedAtMs = null,
  } = settings ?? {};
  file.db
    .prepare<ColumnValue[]>(
      `UPDATE eventspool_queue SET claimed_id = ?, max_events = coalesce(?, max_events), batch_version = ?,
         retention_ms = ?, retention_bytes = ?, paused_at_ms = ?`,
    )
    .run(newestId, maxEvents, batchVersion, retentionMs, retentionBytes, pausedAtMs);
}

function writeDeadLetters(file: QueueFile, subscriptionId: number, letters: readonly ColumnValue[][]): void {
  const insert = file.db.prepare<ColumnValue[]>(
    "INSERT OR IGNORE INTO eventspool_dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  for (const [, ...columns] of letters) insert.run(subscriptionId, ...columns);
}

function writeRetried(file: QueueFile, subscriptionId: number, ids: readonly number[]): void {
  const insert = file.db.prepare<[number, number]>("INSERT INTO eventspool_retried VALUES (?, ?)");
  for (const id of ids) insert.run(id, subscriptionId);
}

/** The events keep their names. What is put from now on gets new ones: the damaged part may have given its ids to others. */
function writeEpochs(file: QueueFile, epochs: readonly Row[], newestId: number): void {
  const insert = file.db.prepare<[number, string, string, number]>(
    "INSERT OR REPLACE INTO eventspool_epoch VALUES (?, ?, ?, ?)",
  );
  for (const { id, columns } of epochs)
    insert.run(id, String(columns[1]), String(columns[2]), Number(columns[3]));
  insert.run(newestId + 1, crypto.randomUUID(), "moved", Date.now());
}

/** Returns its id. All that it has not settled, `ids`, is in leases that have expired: it may have been sent before. */
function writeSubscription(
  file: QueueFile,
  { name, lagLimitEvents, lagLimitMs }: Subscription,
  { newestId, ids, events }: { newestId: number; ids: readonly number[]; events: ReadonlyMap<number, Event> },
): number {
  file.db
    .prepare<ColumnValue[]>(
      `INSERT INTO eventspool_subscription (name, claimed_id, settled_count, lag_limit_events, lag_limit_ms)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET claimed_id = excluded.claimed_id, settled_count = excluded.settled_count,
         lag_limit_events = excluded.lag_limit_events, lag_limit_ms = excluded.lag_limit_ms`,
    )
    .run(name, newestId, newestId - ids.length, lagLimitEvents, lagLimitMs);
  const id = file.db
    .prepareFirst<[string], number>("SELECT id FROM eventspool_subscription WHERE name = ?")
    .get(name) as number;
  const lease = file.db.prepare<number[]>(
    `INSERT INTO eventspool_lease
       (subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
     VALUES (?, ?, ?, ?, 0, 1, 1)`,
  );
  for (const { firstId, lastId } of leasesOf(ids, events)) lease.run(id, firstId, lastId, Date.now());
  return id;
}

/** Ranges without gaps that are no larger than a batch. */
function leasesOf(ids: readonly number[], events: ReadonlyMap<number, Event>): IdRange[] {
  const leases: { firstId: number; lastId: number }[] = [];
  let bytes = 0;
  for (const id of ids) {
    const size = events.get(id)!.body.length;
    const last = leases.at(-1);
    const isNext = last !== undefined && last.lastId === id - 1 && id - last.firstId < MAX_LEASE_EVENTS;
    if (isNext && bytes + size <= MAX_LEASE_BYTES) last.lastId = id;
    else {
      leases.push({ firstId: id, lastId: id });
      bytes = 0;
    }
    bytes += size;
  }
  return leases;
}

function isIn(id: number, ranges: readonly IdRange[]): boolean {
  return ranges.some(({ firstId, lastId }) => firstId <= id && id <= lastId);
}

/** What is left of ranges without some ids. A damaged number can make a range of any length: ids are not counted one by one. */
function gapsIn(ranges: readonly IdRange[], ids: readonly number[]): IdRange[] {
  const gaps: IdRange[] = [];
  let coveredId = 0; // ranges of several subscriptions overlap
  for (const { firstId, lastId } of [...ranges].sort((a, b) => a.firstId - b.firstId)) {
    let next = Math.max(firstId, coveredId + 1);
    for (const id of ids) {
      if (id < next || id > lastId) continue;
      if (id > next) gaps.push({ firstId: next, lastId: id - 1 });
      next = id + 1;
    }
    if (next <= lastId) gaps.push({ firstId: next, lastId });
    coveredId = Math.max(coveredId, lastId);
  }
  return gaps;
}
