/**
 * A service, publishers, an operator and collectors that live in simulated time, with what happens to them decided by a
 * seed. The queue's file is real; what is promised is checked at each step.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { type PublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { EventQueueFullError, EventStorageError } from "../../../src/errors.ts";
import { BACKOFF_BASE_MS } from "../../../src/publisher/circuit_breaker.ts";
import { DEAD_LETTER_BURST } from "../../../src/publisher/poison_guard.ts";
import { Publisher } from "../../../src/publisher/publisher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { Pause } from "../../../src/storage/pause.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { DEFAULT_SUBSCRIPTION, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { BACKOFF_MAX_MS, LEASE_MARGIN_MS } from "../../../src/wire/retry_after.ts";
import { type Random, randomFrom } from "../power/recorded_disk.ts";
import { Invariants } from "./invariants.ts";
import {
  type CollectorCounts,
  FAULTS,
  type Identity,
  type KnownEvent,
  type NumberedEvent,
  type Sender,
  SimulatedCollector,
  TIMEOUT_MS,
} from "./simulated_collector.ts";
import { type Actor, POLL_MS, type SimulatedTime } from "./simulated_time.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** How long a lease lasts. */
const LEASE_MS = TIMEOUT_MS + LEASE_MARGIN_MS;

/** How long a publisher with events and a closed breaker may do nothing: a lease may be a dead one's, a disk slow. */
const SLACK_MS = LEASE_MS + TIMEOUT_MS + 5 * POLL_MS + BACKOFF_BASE_MS;

/** Which share of commits of publishers others notice by their watch: each then looks ten times. */
const COMMIT_SEEN_SHARE = 0.02;

/** One event in so many is at fault: few, or more than the budget of dead letters allows. */
const POISON_EVERY = { few: 40, many: 4 };

const MAX_DEAD_LETTERS = 30;

/** The size of a temporary file system in memory from which on it is used: there are small ones in containers. */
const MIN_MEMORY_BYTES = 1_000_000_000;

/** How much fits into a page, in bytes. */
const FILLED_BYTES = 4_000;

/** More pages than any file has: SQLite's own limit. */
const MAX_PAGES = 2 ** 32 - 2;

/** Why a transaction of the service is undone. */
const ROLLED_BACK = new Error("rolled back");

/** The connections to queue files, for what SQLite limits by connection. */
const connections = new Set<Database.Database>();
const { pragma } = Database.prototype;
Database.prototype.pragma = function (this: Database.Database, ...args) {
  if (this.open && args[0] === "busy_timeout = 0") connections.add(this); // as each of ours sets
  return pragma.apply(this, args);
};

/** What a seed decides for a whole world. */
interface Setup {
  readonly concurrency: number;
  /** How many publishers each subscription has. */
  readonly publishers: number;
  readonly subscriptions: readonly string[];
  /** How far the last subscription may lag, in events; undefined: it is required. */
  readonly lagLimit: number | undefined;
  /** Which share of events may become dead letters. */
  readonly maxShare: number;
  readonly maxEvents: number;
  /** One event in so many is at fault. */
  readonly poisonEvery: number;
  /** Whether all subscriptions send to one collector. */
  readonly isCollectorShared: boolean;
  /** Whether the queue is an outbox in the service's own database. */
  readonly isOutbox: boolean;
  /** Whether the service itself reads the last subscription. */
  readonly isConsumed: boolean;
}

function setupOf(random: Random): Setup {
  const subscriptions = [DEFAULT_SUBSCRIPTION, "audit", "search"].slice(0, 1 + Math.floor(random() * 3));
  const isOutbox = random() < 0.2;
  return {
    isOutbox,
    isConsumed: !isOutbox && subscriptions.length > 1 && random() < 0.4,
    concurrency: random() < 0.5 ? 1 : 4,
    publishers: 1 + Math.floor(random() ** 1.5 * 3),
    subscriptions,
    lagLimit: subscriptions.length > 1 && random() < 0.25 ? 40 : undefined,
    maxShare: random() < 0.6 ? 1 : 0.1,
    maxEvents: random() < 0.3 ? 150 : 100_000,
    isCollectorShared: random() < 0.2,
    poisonEvery: random() < 0.15 ? POISON_EVERY.many : POISON_EVERY.few,
  };
}

/** A subscription with its collector. */
interface Reader {
  readonly name: string;
  readonly id: number;
  readonly collector: SimulatedCollector;
  readonly config: PublisherConfig;
  /** Whether the service itself reads it, without a publisher. */
  readonly isConsumed: boolean;
  /** The ids that a replay must bring again. */
  replayed: number[];
}

/** What a service puts into: a queue or an outbox. */
type PutsInto = Pick<EventQueue<NumberedEvent>, "file" | "put" | "putMany" | "depth" | "close">;

/** A publisher or a consumer, until it is stopped or killed. */
interface Running extends Sender {
  readonly reader: Reader;
  /** Undefined: it is a consumer. */
  readonly publisher: Publisher | undefined;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  readonly startedAtMs: number;
  deadLetters: number;
}

/** What a world went through. */
export interface History extends CollectorCounts {
  happenings: number;
  put: number;
  fullQueues: number;
  deadLetters: number;
  held: number;
  kills: number;
  stops: number;
  faults: number;
  partitions: number;
  clockChanges: number;
  takenOver: number;
  lostLeases: number;
  replays: number;
  retried: number;
  pauses: number;
  removals: number;
  skipped: number;
  trimmed: number;
  /** How often somebody held the lock for a while, and how many puts it made fail; the same of a full disk. */
  locks: number;
  lockedPuts: number;
  fullDisks: number;
  diskFullPuts: number;
  rolledBackPuts: number;
}

/** One service with its publishers and subscriptions, and what happens to them for some hours. */
export class World {
  readonly #time: SimulatedTime;
  readonly #random: Random;
  readonly #setup: Setup;
  readonly #directory: string;
  readonly #queue: PutsInto;
  /** The queue where it has consumers. */
  readonly #consumed: EventQueue<NumberedEvent> | undefined;
  /** Of the service's database, where the queue is an outbox. */
  readonly #service: Database.Database | undefined;
  readonly #outbox: Outbox<NumberedEvent> | undefined;
  /** Of another process, which holds the lock now and then. */
  readonly #holder: Database.Database;
  readonly #file: QueueFile;
  readonly #watched: QueueFile;
  readonly #subscriptions: SubscriptionTable;
  readonly #events: EventTable;
  readonly #pause: Pause;
  readonly #invariants: Invariants;
  readonly #operator: Actor = { name: "operator", isDead: false };
  readonly #names = new Map<string, KnownEvent>();
  readonly #identity: Identity = { mayChange: false };
  #readers: Reader[] = [];
  #publishers: Running[] = [];
  #started = 0;
  #isDiskFull = false;
  readonly #history = emptyHistory();

  constructor(time: SimulatedTime, seed: number) {
    this.#time = time;
    this.#random = randomFrom(seed);
    time.begin(randomFrom(seed + 0.5));
    this.#setup = setupOf(this.#random);
    this.#directory = mkdtempSync(join(parentDirectory(seed), "eventspool-simulated-"));
    const { maxEvents, isOutbox } = this.#setup;
    connections.clear();
    if (isOutbox) {
      const path = join(this.#directory, "service.db");
      this.#service = new Database(path, { timeout: 0 });
      this.#service.pragma("journal_mode = WAL");
      this.#service.pragma("busy_timeout = 0");
      this.#outbox = new Outbox<NumberedEvent>(this.#service, serializeJsonEvent, { maxEvents });
      this.#queue = this.#outbox;
    } else {
      const options = { directory: this.#directory, maxEvents };
      this.#consumed = time.as(
        this.#operator,
        () => new EventQueue<NumberedEvent>("main", serializeJsonEvent, options),
      );
      this.#queue = this.#consumed;
    }
    const open = (): QueueFile =>
      isOutbox
        ? QueueFile.openOutbox(this.#queue.file, { busyTimeoutMs: 1_000 })
        : QueueFile.open(this.#queue.file, { role: "publisher" });
    this.#file = open();
    this.#watched = open();
    this.#holder = new Database(this.#queue.file, { timeout: 0 });
    this.#subscriptions = new SubscriptionTable(this.#file);
    this.#events = new EventTable(this.#file);
    this.#pause = new Pause(this.#file);
    this.#invariants = new Invariants(this.#watched, { leaseMs: LEASE_MS, maxDeadLetters: MAX_DEAD_LETTERS });
    time.nextChangeAtMs = () => time.nowMs + this.#invariants.nextExpiryMs(Date.now()) - Date.now();
    this.#events.setRetention(this.#pick(RETENTIONS));
    for (const name of this.#setup.subscriptions) this.#addReader(name);
  }

  /** Lets hours pass: now and then much happens within minutes, and then little until all has arrived. */
  async live(hours: number): Promise<History> {
    try {
      const endMs = this.#time.nowMs + hours * HOUR_MS;
      this.#startMissing();
      while (this.#time.nowMs < endMs) {
        await this.#livelyTime();
        await this.#recover(Math.min(endMs - this.#time.nowMs, this.#random() ** 1.5 * 80 * HOUR_MS));
      }
      this.#conclude();
      return this.#history;
    } finally {
      await this.#close();
    }
  }

  /** The moods, the clock and all else change within seconds or minutes, while requests are under way. */
  async #livelyTime(): Promise<void> {
    for (let left = 1 + Math.floor(this.#random() * 30); left > 0; left--) {
      this.#happen();
      await this.#pass(10 * 6 ** (this.#random() * 6)); // from 10 ms to 8 minutes, and most often seconds
    }
  }

  #happen(): void {
    const chance = this.#random();
    if (chance < 0.39) this.#putSome();
    else if (chance < 0.42) this.#obstructFile();
    else if (chance < 0.62) this.#changeMood();
    else if (chance < 0.68) this.#kill();
    else if (chance < 0.71) this.#stop();
    else if (chance < 0.78) this.#startMissing();
    else if (chance < 0.81) this.#cutOff();
    else if (chance < 0.86) this.#changeClock();
    else if (!this.#isLocked && !this.#isDiskFull) this.#operate();
    this.#noteEvent();
  }

  #pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random() * all.length)]!;
  }

  /** What the operator, the service or the world did is checked as such, and wakes who waits. */
  #noteEvent(): void {
    this.#invariants.check(this.#operator);
    this.#history.happenings++;
    this.#time.happened();
    this.#time.written(0.5);
  }

  #putSome(): void {
    const chance = this.#random();
    const count = chance < 0.1 ? 120 : chance < 0.3 ? 20 : 1 + Math.floor(this.#random() * 5);
    const firstId = this.#invariants.newestId + 1;
    const events = Array.from({ length: count }, (_, nth) => ({
      n: firstId + nth,
      isPoison: this.#random() < 1 / this.#setup.poisonEvery,
    }));
    const { maxEvents } = this.#events.counters();
    const isFull = this.#queue.depth() + count > maxEvents;
    const put = (): void => {
      if (count === 1) this.#queue.put(events[0]!);
      else this.#queue.putMany(events);
    };
    try {
      if (this.#outbox === undefined || this.#random() < 0.5) put();
      else this.#outbox.transaction(() => this.#putInTransaction(put));
      assert.ok(!isFull, "a full queue takes no event");
    } catch (error) {
      if (error === ROLLED_BACK || this.#isExpected(error)) return;
      if (!(error instanceof EventQueueFullError)) throw error;
      assert.ok(isFull, "only a full queue takes no event");
      this.#history.fullQueues++;
      return;
    }
    this.#history.put += count;
    events.forEach((event, nth) => {
      const bytes = serializeJsonEvent(event).length;
      this.#invariants.put(firstId + nth, { ...event, bytes, putAtMs: Date.now() });
    });
  }

  /** What the service does in a transaction, and now and then undoes. */
  #putInTransaction(put: () => void): void {
    put();
    if (this.#random() < 0.6) return;
    this.#history.rolledBackPuts++;
    throw ROLLED_BACK;
  }

  /** Whether a put fails as it must while the lock is held or the disk is full. */
  #isExpected(error: unknown): boolean {
    if (!(error instanceof EventStorageError)) return false;
    if (this.#isLocked && error.code.startsWith("SQLITE_BUSY")) this.#history.lockedPuts++;
    else if (this.#isDiskFull && error.code === "SQLITE_FULL") this.#history.diskFullPuts++;
    else return false;
    return true;
  }

  get #isLocked(): boolean {
    return this.#holder.inTransaction;
  }

  #obstructFile(): void {
    if (this.#isLocked || this.#isDiskFull) return;
    if (this.#random() < 0.5) this.#holdLock();
    else this.#fillDisk();
    this.#putSome();
  }

  /** Somebody holds the lock for a while: an open shell, a stopped process. */
  #holdLock(): void {
    this.#holder.exec("BEGIN IMMEDIATE");
    this.#history.locks++;
    this.#soon(() => this.#releaseLock());
  }

  #releaseLock(): void {
    if (!this.#isLocked) return;
    this.#holder.exec("ROLLBACK");
    this.#time.happened();
  }

  /** The file cannot grow for a while. What has room in it may still be written, as on a disk. */
  #fillDisk(): void {
    this.#isDiskFull = true;
    this.#history.fullDisks++;
    const freePages = this.#holder.pragma("freelist_count", { simple: true }) as number;
    this.#holder.exec(`CREATE TABLE filler AS SELECT zeroblob(${freePages * FILLED_BYTES})`);
    this.#limitPages(1); // SQLite takes the number that the file has
    this.#soon(() => this.#freeDisk());
  }

  #freeDisk(): void {
    if (!this.#isDiskFull) return;
    this.#isDiskFull = false;
    this.#holder.exec("DROP TABLE filler");
    this.#invariants.check(this.#operator);
    this.#limitPages(MAX_PAGES);
    this.#time.happened();
  }

  #limitPages(count: number): void {
    for (const connection of connections)
      if (connection.open) connection.pragma(`max_page_count = ${count}`);
      else connections.delete(connection);
  }

  /** Within a minute. */
  #soon(run: () => void): void {
    this.#time.as(this.#operator, () => this.#time.after(this.#random() ** 3 * MINUTE_MS, run));
  }

  #changeMood(): void {
    const { collector } = this.#pick(this.#readers);
    collector.mood = this.#random() < 0.3 ? "well" : this.#pick(FAULTS);
    if (collector.mood !== "well") this.#history.faults++;
  }

  /** As kill -9 does: nothing of it goes on, but what it has sent; its leases stay until they expire. */
  #kill(): void {
    const [killed] = this.#publishers.splice(Math.floor(this.#random() * this.#publishers.length), 1);
    if (killed === undefined) return;
    this.#note(killed);
    killed.actor.isDead = true;
    this.#history.kills++;
  }

  /** As SIGTERM does. */
  #stop(): void {
    if (this.#publishers.length === 0) return;
    this.#end(this.#pick(this.#publishers));
    this.#history.stops++;
  }

  /** A consumer releases at once what it has. */
  #end({ actor, stop }: Running): void {
    stop.abort();
    this.#invariants.check(actor);
  }

  #note({ publisher, deadLetters }: Running): void {
    this.#history.lostLeases += publisher?.metrics().counts.lostLeases ?? 0;
    this.#history.deadLetters += deadLetters;
  }

  #cutOff(): void {
    if (this.#publishers.length === 0) return;
    const publisher = this.#pick(this.#publishers);
    publisher.isCutOff = !publisher.isCutOff;
    if (publisher.isCutOff) this.#history.partitions++;
  }

  #changeClock(): void {
    this.#history.clockChanges++;
    const isBack = this.#time.clockErrorMs !== 0 && this.#random() < 0.4;
    const size = this.#pick([3_000, MINUTE_MS, 4 * HOUR_MS]);
    this.#time.clockErrorMs = isBack ? 0 : Math.floor((this.#random() - 0.5) * size);
  }

  #operate(): void {
    const reader = this.#pick(this.#readers);
    const chance = this.#random();
    if (chance < 0.2) this.#replay(reader);
    else if (chance < 0.4) this.#retry(reader);
    else if (chance < 0.5) this.#purge(reader);
    else if (chance < 0.65) this.#setPaused(!this.#invariants.isPaused);
    else if (chance < 0.8) this.#events.setRetention(this.#pick(RETENTIONS));
    else if (chance < 0.9) this.#events.setMaxEvents(this.#pick([100, 300, 100_000]));
    else if (reader.name === DEFAULT_SUBSCRIPTION || this.#random() < 0.5) this.#seek(reader);
    else this.#replaceReader(reader);
  }

  #replay({ name, id, collector, replayed }: Reader): void {
    const state = this.#subscriptions.get(name);
    if (state.replayLeft > 0) {
      this.#subscriptions.stopReplay(name);
      this.#invariants.rebase();
      replayed.length = 0;
      return;
    }
    const firstId = 1 + Math.floor(this.#random() * this.#invariants.newestId);
    const bounds = this.#subscriptions.replay(name, { firstId, lastId: firstId + 100 });
    if (bounds === undefined) return;
    this.#history.replays++;
    collector.decided.clear();
    collector.reorderedUpToId = Math.max(collector.reorderedUpToId, bounds.lastId);
    replayed.splice(0, replayed.length, ...this.#idsIn(bounds, id));
  }

  /** The ids that are in the file, and that a subscription has settled. */
  #idsIn({ firstId, lastId }: { firstId: number; lastId: number }, subscriptionId: number): number[] {
    const rows = this.#events.read({ fromId: firstId, toId: lastId, limit: 1_000 });
    const isSettled = (id: number) => !this.#invariants.isLeased(id, subscriptionId); // its delivery may end now
    return rows.map(({ id }) => id).filter((id) => this.#isFor(id, subscriptionId) && isSettled(id));
  }

  #isFor(id: number, subscriptionId: number): boolean {
    return (this.#invariants.events.get(id)?.onlyFor ?? subscriptionId) === subscriptionId;
  }

  #retry({ name, id: onlyFor }: Reader): void {
    const table = new DeadLetterTable(this.#file, { subscription: name });
    const letters = table.list({ limit: 5 });
    const before = this.#invariants.newestId;
    const retried = table.retry(
      letters.map(({ id }) => id),
      this.#events,
    );
    this.#history.retried += retried;
    for (const [nth, letter] of letters.slice(0, retried).entries()) {
      const event = this.#invariants.events.get(letter.id)!;
      const isForAll = this.#readers.length === 1;
      this.#invariants.put(before + 1 + nth, { ...event, ...(isForAll ? {} : { onlyFor }) });
    }
  }

  #purge({ name }: Reader): void {
    const table = new DeadLetterTable(this.#file, { subscription: name });
    table.purge(table.list({ limit: 3 }).map(({ id }) => id));
  }

  #setPaused(isPaused: boolean): void {
    this.#pause.set(isPaused);
    if (isPaused) this.#history.pauses++;
  }

  /** Back, so that events are sent again, or forward, so that some are not. */
  #seek({ name, collector, replayed }: Reader): void {
    const newestId = this.#invariants.newestId;
    const toId = Math.max(1, newestId - Math.floor(this.#random() * 30));
    this.#subscriptions.seek(name, toId);
    collector.reorderedUpToId = newestId;
    replayed.length = 0; // what it goes on from is not replayed
    this.#invariants.rebase();
  }

  #addReader(name: string): Reader {
    const { isCollectorShared, concurrency, publishers, lagLimit } = this.#setup;
    const isLast = name === this.#setup.subscriptions.at(-1);
    const isConsumed = isLast && this.#setup.isConsumed;
    const limit = isLast && lagLimit !== undefined ? { maxEvents: lagLimit } : {};
    this.#subscriptions.add(name, { start: this.#random() < 0.5 ? "oldest" : "now", limit });
    this.#invariants.rebase();
    const id = this.#subscriptions.idOf(name);
    const collector = new SimulatedCollector(this.#time, {
      names: isCollectorShared && !isConsumed ? this.#names : new Map(),
      inOrder: concurrency * publishers === 1 && !isConsumed,
      expects: (eventId) => this.#isFor(eventId, id),
      identity: this.#identity,
    });
    const reader = { name, id, collector, config: this.#configOf(name), isConsumed, replayed: [] };
    this.#readers.push(reader);
    this.#invariants.collectors.set(id, collector);
    return reader;
  }

  /** Removes a subscription and adds it again, while its publishers run: they are stopped soon. */
  #replaceReader(reader: Reader): void {
    this.#subscriptions.remove(reader.name);
    this.#history.removals++;
    this.#readers = this.#readers.filter((other) => other !== reader);
    this.#addReader(reader.name);
    const stopAll = (): void => {
      for (const running of this.#publishers) if (running.reader === reader) this.#end(running);
    };
    this.#time.as(this.#operator, () => this.#time.after(this.#random() * 5_000, stopAll));
  }

  #configOf(name: string): PublisherConfig {
    const { concurrency, maxShare } = this.#setup;
    const text = [
      "[event-publisher:main]",
      "collector.hostname = simulated",
      "collector.version = 2j",
      "key.name = a",
      "key.secret = c2VjcmV0IG9mIHRoZSB0ZXN0cw==",
      `publisher.concurrency = ${concurrency}`,
      `publisher.subscription = ${name}`,
      `dead_letters.max_share = ${maxShare * 100}%`,
      `dead_letters.max_count = ${MAX_DEAD_LETTERS}`,
      "batch.max_events = 50",
      "queue.ballast = off",
      this.#setup.isOutbox ? `queue.file = ${this.#queue.file}` : `queue.directory = ${this.#directory}`,
    ];
    return parsePublisherConfig(text.join("\n"), { env: {} });
  }

  #startMissing(): void {
    for (const reader of this.#readers) {
      const running = this.#publishers.filter(
        (other) => other.reader === reader && !other.stop.signal.aborted,
      );
      for (let nth = running.length; nth < this.#setup.publishers; nth++) this.#start(reader);
    }
  }

  #start(reader: Reader): void {
    const kind = reader.isConsumed ? "consumer" : "publisher";
    const actor: Actor = { name: `${kind} ${++this.#started} of ${reader.name}`, isDead: false };
    if (reader.isConsumed) this.#startConsumer(reader, actor);
    else this.#startPublisher(reader, actor);
  }

  #startPublisher(reader: Reader, actor: Actor): void {
    this.#time.as(actor, () => {
      const sender: Sender = { actor, isCutOff: false, acceptedCount: 0 };
      const stop = new AbortController();
      const onDeadLetter = (): void => void running.deadLetters++;
      const publisher = new Publisher(
        reader.config,
        { destination: reader.collector.destination(sender), onDeadLetter },
        { pollMs: POLL_MS },
      );
      const run = () => publisher.run({ signal: stop.signal });
      const ended = this.#time
        .sleep(1)
        .then(run)
        .then(() => {
          // not as a part of what started it
          this.#note(running);
          this.#publishers = this.#publishers.filter((other) => other !== running);
          return publisher[Symbol.asyncDispose]();
        });
      const startedAtMs = this.#time.nowMs;
      const running: Running = Object.assign(sender, {
        reader,
        publisher,
        stop,
        ended,
        startedAtMs,
        deadLetters: 0,
      });
      this.#publishers.push(running);
    });
  }

  /** A loop of the service over a subscription, as its manual says: after a failure it subscribes again. */
  #startConsumer(reader: Reader, actor: Actor): void {
    const stop = new AbortController();
    const sender: Sender = { actor, isCutOff: false, acceptedCount: 0 };
    this.#time.as(actor, () => {
      const consume = async (): Promise<void> => {
        while (!stop.signal.aborted && this.#readers.includes(reader)) {
          await this.#consume(reader, sender, stop.signal).catch((error) => {
            if (!(error instanceof EventStorageError)) throw error;
          });
          await this.#time.sleep(1_000);
        }
      };
      const ended = this.#time
        .sleep(1)
        .then(consume)
        .then(() => {
          this.#publishers = this.#publishers.filter((other) => other !== running);
        });
      const startedAtMs = this.#time.nowMs;
      const rest = { reader, publisher: undefined, stop, ended, startedAtMs, deadLetters: 0 };
      const running: Running = Object.assign(sender, rest);
      this.#publishers.push(running);
    });
  }

  async #consume({ name, collector }: Reader, sender: Sender, signal: AbortSignal): Promise<void> {
    const { random } = this.#time;
    const options = { maxEvents: 50, leaseMs: LEASE_MS, signal };
    for await (const batch of this.#consumed!.subscribe<NumberedEvent>(name, options)) {
      const events = batch.events.map((given) => ({
        ...given.event,
        name: given.id,
        id: Number(given.id.slice(given.id.indexOf(":") + 1)),
      }));
      await this.#time.sleep(random() < 0.05 ? 1.2 * random() * LEASE_MS : random() * 100);
      const chance = random();
      if (chance < 0.1) batch.release();
      else if (chance < 0.12)
        return; // it leaves the loop, which releases the batch
      else {
        collector.consume(events, sender);
        batch.ack();
      }
    }
  }

  async #pass(durationMs: number): Promise<void> {
    await this.#time.pass(durationMs, (actor) => this.#check(actor));
    this.#check(undefined);
  }

  /** What holds at each moment. */
  #check(actor: Actor | undefined): void {
    if (this.#invariants.check(actor)) {
      this.#time.committed();
      this.#time.written(COMMIT_SEEN_SHARE);
      for (const running of this.#publishers) this.#checkBudget(running);
    }
    for (const reader of this.#readers) this.#checkContact(reader);
  }

  /** A publisher makes no more dead letters than its budget: ten, and a share of what was accepted. */
  #checkBudget({ actor, deadLetters, acceptedCount }: Running): void {
    const { maxShare } = this.#setup;
    if (maxShare === 1) return;
    const budget = DEAD_LETTER_BURST + (acceptedCount * maxShare) / (1 - maxShare);
    assert.ok(deadLetters <= budget + 1e-6, `${actor.name} made ${deadLetters} dead letters of ${budget}`);
  }

  /** While events wait, a collector is tried again after the longest backoff at the latest. */
  #checkContact({ id, name, collector }: Reader): void {
    const isRunning = ({ reader, stop }: Running): boolean => reader.id === id && !stop.signal.aborted;
    const isStuck = this.#invariants.isPaused || this.#isLocked || this.#isDiskFull;
    const running = isStuck || this.#invariants.depthOf(id) === 0 ? [] : this.#publishers.filter(isRunning);
    if (running.length === 0) {
      collector.lastContactAtMs = this.#time.nowMs;
      return;
    }
    const limitMs = BACKOFF_MAX_MS + SLACK_MS;
    const startedAtMs = Math.min(...running.map((publisher) => publisher.startedAtMs));
    const sinceMs = Math.max(collector.lastContactAtMs, collector.retryAfterEndsAtMs, startedAtMs);
    const waitedMs = this.#time.nowMs - sinceMs;
    assert.ok(waitedMs <= limitMs, `${name} is not tried again for ${waitedMs} ms`);
  }

  /** All is well from now on: then nothing may be left after a while. */
  async #recover(quietMs: number): Promise<void> {
    if (this.#random() < 0.05) await this.#pass(this.#random() * 2 * HOUR_MS); // a long outage, if there is one
    this.#time.clockErrorMs = 0;
    for (const { collector } of this.#readers) collector.mood = "well";
    for (const publisher of this.#publishers) publisher.isCutOff = false;
    this.#releaseLock();
    this.#freeDisk();
    this.#setPaused(false);
    this.#startMissing();
    this.#noteEvent();
    await this.#pass(10 * MINUTE_MS);
    if (!this.#isDone() && this.#setup.maxShare < 1) await this.#correctCollectors();
    for (const reader of this.#readers) this.#checkArrived(reader);
    await this.#pass(Math.max(10 * MINUTE_MS, quietMs));
  }

  #isDone(): boolean {
    return this.#readers.every(
      ({ id, name }) => this.#invariants.depthOf(id) === 0 && this.#subscriptions.get(name).replayLeft === 0,
    );
  }

  /** A queue whose budget of dead letters is spent waits until its collector takes what it rejected. */
  async #correctCollectors(): Promise<void> {
    this.#history.held++;
    for (const { collector } of this.#readers) collector.takesPoison = true;
    await this.#pass(10 * MINUTE_MS);
    for (const { collector } of this.#readers) collector.takesPoison = false;
  }

  #checkArrived({ name, id, collector, replayed }: Reader): void {
    const state = this.#subscriptions.get(name);
    assert.equal(this.#invariants.depthOf(id), 0, `${name}: nothing waits: ${JSON.stringify(state)}`);
    assert.equal(state.replayLeft, 0, `${name}: nothing is left of a replay`);
    const missing = replayed.filter((event) => !collector.decided.has(event));
    assert.deepEqual(missing, [], `${name}: all is replayed`);
    replayed.length = 0;
  }

  #conclude(): void {
    assert.equal(this.#queue.depth(), 0, "nothing waits");
    for (const { collector } of this.#readers) {
      for (const [key, count] of Object.entries(collector.counts))
        this.#history[key as keyof CollectorCounts] += count;
    }
    const { takenOver, skipped, trimmed } = this.#invariants;
    Object.assign(this.#history, { takenOver, skipped, trimmed });
    const { retention } = this.#events.state();
    if (retention.maxAgeMs !== undefined || retention.maxBytes !== undefined) return;
    assert.deepEqual(this.#events.read({ fromId: 0, limit: 10 }), [], "all events are trimmed");
  }

  async #close(): Promise<void> {
    const all = [...this.#publishers];
    for (const { stop } of all) stop.abort();
    await this.#time.pass(10 * MINUTE_MS, () => {});
    await Promise.all(all.map(({ ended }) => ended));
    this.#holder.close();
    this.#file.close();
    this.#watched.close();
    this.#queue.close();
    this.#service?.close();
    this.discard();
  }

  /** Removes its files. */
  discard(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const RETENTIONS = [
  {},
  {},
  { maxAgeMs: HOUR_MS },
  { maxBytes: 2_000 },
  { maxAgeMs: 5 * MINUTE_MS, maxBytes: 5_000 },
];

function emptyHistory(): History {
  return {
    happenings: 0,
    put: 0,
    fullQueues: 0,
    requests: 0,
    faults: 0,
    partitions: 0,
    lostResponses: 0,
    duplicateRequests: 0,
    duplicateEvents: 0,
    tooLarge: 0,
    deadLetters: 0,
    held: 0,
    retried: 0,
    kills: 0,
    stops: 0,
    clockChanges: 0,
    takenOver: 0,
    lostLeases: 0,
    replays: 0,
    pauses: 0,
    removals: 0,
    skipped: 0,
    trimmed: 0,
    consumed: 0,
    locks: 0,
    lockedPuts: 0,
    fullDisks: 0,
    diskFullPuts: 0,
    rolledBackPuts: 0,
  };
}

/** In memory where there is room, since a disk costs time only; every eighth world is on the disk. */
function parentDirectory(seed: number): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    return seed % 8 !== 0 && bavail * bsize > MIN_MEMORY_BYTES ? "/dev/shm" : tmpdir();
  } catch {
    return tmpdir();
  }
}
