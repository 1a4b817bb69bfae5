/**
 * Takes what can be read out of a damaged queue file, and makes a new queue of it.
 *
 * @module
 */
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
  /** Whether the file still says what was delivered; else all events are taken to wait. */
  readonly knowsDelivered: boolean;
  /** Whether the file still says which UUIDs name its events; else a collector cannot know those that it has. */
  readonly knowsNames: boolean;
  /** How many pages the file should have, and how many are there. */
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
  /** The ids that it has not settled: those above its cursor, and those in leases. */
  readonly unsettled: readonly IdRange[];
}

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
  if (events.size === 0 && deadLetters.length === 0) {
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
    const tree = this.#tree(table);
    return tree?.isWhole ? tree.leaves.flatMap((leaf) => [...this.#file.rows(leaf)]) : undefined;
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
  const known = subscriptionsOf(found, newestId);
  const oldestId = Math.min(newestId + 1, ...events.keys());
  const all = {
    name: DEFAULT_SUBSCRIPTION,
    lagLimitEvents: null,
    lagLimitMs: null,
    unsettled: [{ firstId: oldestId, lastId: newestId }],
  };
  const subscriptions = known ?? new Map<number, Subscription>([[1, all]]);
  const unsettled = [...subscriptions.values()].flatMap((subscription) => subscription.unsettled);
  const waiting = [...events.keys()].filter((id) => isIn(id, unsettled));
  const dead = deadLetters.map(([, id]) => Number(id));
  const epochs = found.rows("eventspool_epoch") ?? [];
  const file = QueueFile.open(to, { role: "publisher", durability: "power", busyTimeoutMs: 5_000 });
  try {
    file.transaction(() => {
      const insert = file.prepare<[number, number, Uint8Array, string | null]>(
        "INSERT INTO eventspool_event (id, put_at_ms, body, trace) VALUES (?, ?, ?, ?)",
      );
      for (const id of waiting) {
        const { putAtMs, body, trace } = events.get(id)!;
        insert.run(id, putAtMs, body, trace);
      }
      writeQueue(file, found, newestId);
      writeEpochs(file, epochs, newestId);
      for (const [id, subscription] of subscriptions) {
        const newId = writeSubscription(file, subscription, newestId, events);
        const own = deadLetters.filter(([subscriptionId]) => subscriptionId === id || known === undefined);
        const letter = file.prepare<ColumnValue[]>(
          "INSERT OR IGNORE INTO eventspool_dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        );
        for (const [, ...columns] of own) letter.run(newId, ...columns);
      }
      file.db.exec(SETTLE_QUEUE);
    });
  } finally {
    file.close();
  }
  return {
    waiting: waiting.length,
    deadLetters: deadLetters.length,
    missing: gapsIn(
      unsettled,
      [...events.keys(), ...dead].sort((a, b) => a - b),
    ),
    knowsDelivered: known !== undefined,
    knowsNames: epochs.length > 0,
    pages: { expected: damaged.pageCount, found: damaged.foundCount },
  };
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
 * The subscriptions by their ids; undefined: what they have settled cannot be read as a whole, or does not add up. A
 * wrong number would leave out events: to send some again is better.
 */
function subscriptionsOf(found: Finder, newestId: number): Map<number, Subscription> | undefined {
  const rows = found.rows("eventspool_subscription");
  const leases = found.rows("eventspool_lease");
  if (rows === undefined || rows.length === 0 || leases === undefined) return undefined;
  const subscriptions = new Map<number, Subscription>();
  for (const { id, columns } of rows) {
    const [, name, claimedId, settledCount, lagLimitEvents = null, lagLimitMs = null] = columns;
    const own = leases.filter(({ columns }) => columns[1] === id && columns[8] !== 1);
    const leased = own.map(({ columns }) => ({ firstId: Number(columns[2]), lastId: Number(columns[3]) }));
    const leasedCount = leased.reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0);
    const isSound =
      isSubscriptionName(String(name)) && Number(settledCount) === Number(claimedId) - leasedCount;
    if (!isSound) return undefined;
    const unsettled = [...leased, { firstId: Number(claimedId) + 1, lastId: newestId }];
    subscriptions.set(id, { name: String(name), lagLimitEvents, lagLimitMs, unsettled });
  }
  const isKnown = [...subscriptions.values()].some(({ name }) => name === DEFAULT_SUBSCRIPTION);
  return isKnown ? subscriptions : undefined; // its name may be damaged, and the new file has it
}

function writeQueue(file: QueueFile, found: Finder, newestId: number): void {
  const [, maxEvents, batchVersion] = found.rows("eventspool_queue")?.[0]?.columns ?? [];
  const isVersion = batchVersion === "2" || batchVersion === "2j";
  file.db
    .prepare<[number, ColumnValue, ColumnValue]>(
      "UPDATE eventspool_queue SET claimed_id = ?, max_events = coalesce(?, max_events), batch_version = ?",
    )
    .run(
      newestId,
      typeof maxEvents === "number" && maxEvents > 0 ? maxEvents : null,
      isVersion ? batchVersion : null,
    );
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

/** Returns its id. All that it has not settled is in leases that have expired: it may have been sent before. */
function writeSubscription(
  file: QueueFile,
  { name, lagLimitEvents, lagLimitMs, unsettled }: Subscription,
  newestId: number,
  events: ReadonlyMap<number, Event>,
): number {
  const waiting = [...events.keys()].filter((id) => isIn(id, unsettled));
  file.db
    .prepare<ColumnValue[]>(
      `INSERT INTO eventspool_subscription (name, claimed_id, settled_count, lag_limit_events, lag_limit_ms)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET claimed_id = excluded.claimed_id, settled_count = excluded.settled_count`,
    )
    .run(name, newestId, newestId - waiting.length, lagLimitEvents, lagLimitMs);
  const id = file.db
    .prepareFirst<[string], number>("SELECT id FROM eventspool_subscription WHERE name = ?")
    .get(name) as number;
  const lease = file.db.prepare<number[]>(
    `INSERT INTO eventspool_lease
       (subscription_id, first_id, last_id, claimed_at_ms, expires_at_ms, attempts, sends)
     VALUES (?, ?, ?, ?, 0, 1, 1)`,
  );
  for (const { firstId, lastId } of leasesOf(waiting, events)) lease.run(id, firstId, lastId, Date.now());
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
