/**
 * A service, publishers and a collector that live in simulated time, with what happens to them decided by a seed. The
 * queue's file is real; what is promised is checked at each step.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import type {
  Delivery,
  Destination,
  LeasedBatch,
  Outcome,
} from "../../../src/publisher/destinations/destination.ts";
import { Publisher } from "../../../src/publisher/publisher.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { LeaseTable } from "../../../src/storage/leases.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { DEFAULT_SUBSCRIPTION, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { type Random, randomFrom } from "../power/recorded_disk.ts";
import type { Actor, SimulatedTime } from "./simulated_time.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** What a publisher does again and again while nothing happens, it does seldom. */
const SELDOM = { pollMs: 30 * MINUTE_MS };

/** How far apart the things are that happen, on average. */
const STEP_MS = 2 * HOUR_MS;

/** After so long at the latest a collector is tried again: the longest Retry-After of these, and a lease. */
const BACKOFF_LIMIT_MS = 40 * MINUTE_MS;

/** How long a delivery may take. */
const TIMEOUT_MS = 10_000;

/** One event in so many is at fault. */
const POISON_EVERY = 40;

interface NumberedEvent {
  readonly n: number;
  readonly isPoison: boolean;
}

/** What a collector does for a while. */
type Mood = "well" | "down" | "slow" | "losing_responses" | "misconfigured" | "too_large" | "halving";
const MOODS: readonly Mood[] = [
  "well",
  "well",
  "well",
  "down",
  "slow",
  "losing_responses",
  "misconfigured",
  "too_large",
  "halving",
];

/** A collector that drops duplicates by their names. */
class SimulatedCollector {
  mood: Mood = "well";
  /** The events that it has, by their names: in the order in which they came. */
  readonly accepted = new Map<string, number>();
  /** When the last request came. */
  lastRequestAtMs = 0;
  #newestId = 0;
  readonly #time: SimulatedTime;
  readonly #random: Random;
  /** Whether events come in order: one publisher sends one batch after the other. */
  readonly #inOrder: boolean;

  constructor(time: SimulatedTime, { random, inOrder }: { random: Random; inOrder: boolean }) {
    this.#time = time;
    this.#random = random;
    this.#inOrder = inOrder;
  }

  /** A publisher's way to it. */
  destination(): Destination {
    return {
      url: "simulated://collector",
      timeoutMs: TIMEOUT_MS,
      emptyBatchBytes: 2,
      prepare: async (batch) => this.#delivery(batch),
      close: async () => {},
    };
  }

  #delivery(batch: LeasedBatch): Delivery {
    const events = batch.events().map(({ id, body }) => ({
      id,
      name: `${batch.queueUuid}:${id}`,
      ...(JSON.parse(Buffer.from(body).toString()) as NumberedEvent),
    }));
    return { sizeBytes: batch.joined.length, send: (stop) => this.#receive(events, stop) };
  }

  async #receive(
    events: readonly (NumberedEvent & { id: number; name: string })[],
    stop: AbortSignal,
  ): Promise<Outcome> {
    this.lastRequestAtMs = this.#time.nowMs;
    const { mood } = this;
    const delayMs = mood === "slow" ? this.#random() * 2 * TIMEOUT_MS : 5 + this.#random() * 200;
    const lost: Outcome = { kind: "unavailable", reason: "no response", isTransport: true };
    try {
      await this.#time.sleep(Math.min(delayMs, TIMEOUT_MS), stop);
    } catch {
      return lost;
    }
    if (mood === "down")
      return {
        kind: "unavailable",
        reason: "down",
        ...(this.#random() < 0.2 && { retryAfterMs: 5 * MINUTE_MS }),
      };
    if (mood === "misconfigured") return { kind: "misconfigured", reason: "401" };
    if (mood === "too_large" && events.length > 3)
      return { kind: "rejected", status: 413, response: "too large" };
    if (mood === "halving" && events.some(({ isPoison }) => isPoison))
      return { kind: "rejected", status: 422, response: "one of them is wrong" };
    const good = events.filter(({ isPoison }) => !isPoison);
    const duplicates = good.filter(({ name }) => this.accepted.has(name)).length;
    for (const { id, name, n } of good) this.#accept(id, name, n);
    if (delayMs > TIMEOUT_MS || (mood === "losing_responses" && this.#random() < 0.5)) return lost;
    const rejected = events.flatMap(({ id, isPoison }) =>
      isPoison ? [{ id, status: 422, response: "wrong" }] : [],
    );
    return rejected.length === 0
      ? { kind: "accepted", duplicates }
      : { kind: "partial", rejected, undelivered: [], duplicates };
  }

  #accept(id: number, name: string, n: number): void {
    const known = this.accepted.get(name);
    assert.equal(known ?? n, n, `two events have the name ${name}`);
    if (known !== undefined) return;
    if (this.#inOrder) assert.ok(id > this.#newestId, `event ${id} comes after ${this.#newestId}`);
    this.#newestId = Math.max(id, this.#newestId);
    this.accepted.set(name, n);
  }
}

/** A subscription with its collector. */
interface Reader {
  readonly name: string;
  readonly collector: SimulatedCollector;
}

/** A publisher, until it is killed. */
interface Running {
  readonly reader: Reader;
  readonly actor: Actor;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** What a world went through. */
export interface History {
  readonly put: number;
  readonly deadLetters: number;
  readonly kills: number;
}

/** One service with its publishers and two subscriptions, and what happens to them for some hours. */
export class World {
  readonly #time: SimulatedTime;
  readonly #random: Random;
  readonly #directory = mkdtempSync(join(tmpdir(), "eventspool-simulated-"));
  readonly #queue: EventQueue<NumberedEvent>;
  readonly #file: QueueFile;
  readonly #readers: readonly Reader[];
  readonly #publishers: Running[] = [];
  readonly #concurrency: number;
  /** How many a subscription has. */
  readonly #publisherCount: number;
  #put = 0;
  #poison = 0;
  #kills = 0;

  constructor(time: SimulatedTime, seed: number) {
    this.#time = time;
    const random = randomFrom(seed);
    this.#random = random;
    this.#concurrency = random() < 0.5 ? 1 : 4;
    this.#publisherCount = 1 + Math.floor(random() * 2);
    const options = { directory: this.#directory, maxEvents: 100_000 };
    this.#queue = new EventQueue<NumberedEvent>("main", serializeJsonEvent, options);
    const path = this.#queue.file;
    this.#file = QueueFile.open(path, { role: "publisher", durability: "process", busyTimeoutMs: 1_000 });
    new SubscriptionTable(this.#file).add("audit", { start: "oldest" });
    const inOrder = this.#concurrency * this.#publisherCount === 1;
    this.#readers = [DEFAULT_SUBSCRIPTION, "audit"].map((name) => ({
      name,
      collector: new SimulatedCollector(time, { random, inOrder }),
    }));
  }

  /** Lets hours pass, and then some in which all is well: by then each event must have arrived. */
  async live(hours: number): Promise<History> {
    try {
      this.#startMissing();
      const endMs = this.#time.nowMs + hours * HOUR_MS;
      while (this.#time.nowMs < endMs) {
        this.#happen();
        await this.#pass(this.#random() * 2 * STEP_MS);
      }
      await this.#recover();
      return this.#conclude();
    } finally {
      await this.#close();
    }
  }

  #happen(): void {
    const chance = this.#random();
    if (chance < 0.55) this.#putSome();
    else if (chance < 0.8) this.#pick(this.#readers).collector.mood = this.#pick(MOODS);
    else if (chance < 0.87) this.#kill();
    else if (chance < 0.97) this.#startMissing();
    else this.#time.clockErrorMs = (this.#random() - 0.5) * 4 * HOUR_MS;
  }

  #pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.#random() * all.length)]!;
  }

  #putSome(): void {
    const count = this.#random() < 0.1 ? 200 : 1 + Math.floor(this.#random() * 5);
    const events = Array.from({ length: count }, () => ({
      n: ++this.#put,
      isPoison: this.#random() < 1 / POISON_EVERY,
    }));
    this.#poison += events.filter(({ isPoison }) => isPoison).length;
    this.#queue.putMany(events);
  }

  #startMissing(): void {
    for (const reader of this.#readers) {
      const running = this.#publishers.filter((publisher) => publisher.reader === reader).length;
      for (let nth = running; nth < this.#publisherCount; nth++) this.#start(reader);
    }
  }

  #start(reader: Reader): void {
    const actor = { isDead: false };
    const text = [
      "[event-publisher:main]",
      "collector.hostname = simulated",
      "collector.version = 2j",
      "key.name = a",
      "key.secret = c2VjcmV0IG9mIHRoZSB0ZXN0cw==",
      `publisher.concurrency = ${this.#concurrency}`,
      `publisher.subscription = ${reader.name}`,
      "dead_letters.max_share = 100%",
      `queue.directory = ${this.#directory}`,
    ];
    this.#time.as(actor, () => {
      const config = parsePublisherConfig(text.join("\n"), { env: {} });
      const stop = new AbortController();
      const publisher = new Publisher(config, { destination: reader.collector.destination() }, SELDOM);
      this.#publishers.push({ reader, actor, stop, ended: publisher.run({ signal: stop.signal }) });
    });
  }

  /** As kill -9 does: nothing of it goes on, and its leases stay until they expire. */
  #kill(): void {
    const [killed] = this.#publishers.splice(Math.floor(this.#random() * this.#publishers.length), 1);
    if (killed === undefined) return;
    killed.actor.isDead = true;
    this.#kills++;
  }

  #pass(durationMs: number): Promise<void> {
    return this.#time.pass(durationMs, () => this.#check());
  }

  /** What holds at each moment. */
  #check(): void {
    const depth = this.#queue.depth(); // of the subscription that has most before it
    assert.ok(depth >= 0 && depth <= this.#put, `the depth is ${depth} after ${this.#put} puts`);
    for (const { collector, name } of this.#readers) {
      const waiting = this.#put - this.#poison - collector.accepted.size;
      assert.ok(waiting >= -this.#poison, `${name} has more than was put`);
      assert.ok(depth >= waiting, `the depth is ${depth}, and ${waiting} events have not arrived at ${name}`);
    }
  }

  /** All is well from now on: publishers must notice that soon, and nothing may be left after two hours. */
  async #recover(): Promise<void> {
    this.#time.clockErrorMs = 0;
    for (const { collector } of this.#readers) collector.mood = "well";
    this.#startMissing();
    const sinceMs = this.#time.nowMs;
    const waits = this.#readers.filter(({ collector }) => collector.accepted.size < this.#put - this.#poison);
    await this.#pass(BACKOFF_LIMIT_MS);
    for (const { collector, name } of waits)
      assert.ok(
        collector.lastRequestAtMs >= sinceMs,
        `${name} is not tried again within ${BACKOFF_LIMIT_MS} ms`,
      );
    await this.#pass(2 * HOUR_MS);
  }

  #conclude(): History {
    assert.equal(this.#queue.depth(), 0, "nothing waits");
    const dead = this.#file
      .prepareFirst<[], string>("SELECT CAST(body AS TEXT) FROM eventspool_dead_letter")
      .all();
    for (const { collector, name } of this.#readers) {
      const numbers = [...collector.accepted.values()];
      assert.equal(new Set(numbers).size, numbers.length, `${name}: an event has one name`);
      assert.equal(numbers.length, this.#put - this.#poison, `${name}: each event has arrived`);
      const leases = new LeaseTable(this.#file, 1, { subscription: name });
      assert.deepEqual(leases.all(), [], `${name}: no lease is left`);
    }
    const isPoison = (body: string): boolean => (JSON.parse(body) as NumberedEvent).isPoison;
    assert.ok(dead.every(isPoison), "no innocent event is a dead letter");
    assert.equal(dead.length, this.#poison * this.#readers.length, "each event at fault is a dead letter");
    const kept = this.#file.prepareFirst<[], number>("SELECT count(*) FROM eventspool_event").get();
    assert.equal(kept, 0, "all events are trimmed");
    return { put: this.#put, deadLetters: dead.length, kills: this.#kills };
  }

  async #close(): Promise<void> {
    for (const { stop } of this.#publishers) stop.abort();
    await this.#time.pass(10 * MINUTE_MS, () => {});
    await Promise.all(this.#publishers.map(({ ended }) => ended));
    this.#file.close();
    this.#queue.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
