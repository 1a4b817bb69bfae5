import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { type SubscriptionState, SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { eventually } from "../../support/eventually.ts";
import type { Program } from "../../support/processes.ts";
import { namedIds, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { type Settings, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };
const ROUNDS = 3;
const EVENTS_A_ROUND = 3_000;

/** A queue with subscriptions, each with a collector of its own. */
class Readers implements AsyncDisposable {
  readonly spool = new Spool();
  readonly collectors = new Map<string, ScriptedCollector>();
  readonly #file = QueueFile.open(this.spool.queue.file, { busyTimeoutMs: 5_000 });

  static async open(names: readonly string[]): Promise<Readers> {
    const readers = new Readers();
    for (const name of names) readers.collectors.set(name, await ScriptedCollector.open());
    return readers;
  }

  publisher(name: string, settings: Settings = {}): Program {
    return this.spool.publisher({
      "collector.hostname": `127.0.0.1:${this.collectors.get(name)!.port}`,
      "publisher.subscription": name,
      "subscription.start": "oldest",
      ...settings,
    });
  }

  state(name: string): SubscriptionState | undefined {
    return new SubscriptionTable(this.#file).list().find((subscription) => subscription.name === name);
  }

  /** How many events are in the file. */
  rows(): number {
    return this.#file.db.prepareFirst<[], number>("SELECT count(*) FROM eventspool_event").get() as number;
  }

  /** The ids of the events that a collector accepted, each once. */
  ids(name: string): number[] {
    const ids = this.collectors.get(name)!.accepted.flatMap(({ eventIds }) => namedIds(eventIds));
    return [...new Set(ids)].sort((a, b) => a - b);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const collector of this.collectors.values()) await collector[Symbol.asyncDispose]();
    this.#file.close();
    this.spool[Symbol.dispose]();
  }
}

test(
  "each subscription gets each event though all publishers are killed again and again, and one is dead",
  LIMIT,
  async () => {
    await using readers = await Readers.open(["default", "audit", "dead"]);
    const { spool } = readers;
    await using creator = readers.publisher("dead");
    await eventually("the subscription", () => readers.state("dead"));
    await stop(creator, "SIGKILL");

    const live = ["default", "audit"];
    for (let round = 1; round <= ROUNDS; round++) {
      const publishers = live.map((name) => readers.publisher(name));
      for (let put = 0; put < EVENTS_A_ROUND; put += 500) {
        spool.put(500);
        await sleep(1);
      }
      const least = EVENTS_A_ROUND * (round - 1) + 500;
      await eventually("deliveries", () => live.every((name) => readers.ids(name).length >= least));
      await Promise.all(publishers.map((publisher) => stop(publisher, "SIGKILL")));
      spool.expireLeases();
    }

    const total = ROUNDS * EVENTS_A_ROUND;
    await using one = readers.publisher("default");
    await using two = readers.publisher("audit");
    for (const name of live) {
      await eventually(`all events of ${name}`, () => readers.state(name)?.depth === 0);
      assert.deepEqual(readers.ids(name), numbersFrom(1, total));
    }
    assert.equal(spool.queue.depth(), total, "the dead one holds the cap");
    assert.equal(readers.rows(), total, "and nothing that it needs is trimmed");

    await using late = readers.publisher("dead");
    await eventually("all events of the dead one", () => readers.state("dead")?.depth === 0);
    assert.deepEqual(readers.ids("dead"), numbersFrom(1, total));
    await eventually("the trim", () => readers.rows() === 0);
    assert.equal(spool.queue.depth(), 0);
    assert.equal(spool.integrity(), "ok");
    await Promise.all([one, two, late].map((publisher) => stop(publisher)));
  },
);

test(
  "a best-effort subscription that is dead skips ahead and says so, and never stops puts",
  LIMIT,
  async () => {
    await using readers = await Readers.open(["default", "search"]);
    const { spool } = readers;
    await using creator = readers.publisher("search", { "subscription.lag_limit": 1_000 });
    await eventually("the subscription", () => readers.state("search"));
    await stop(creator, "SIGKILL");
    spool.cap(2_000);

    await using publisher = readers.publisher("default");
    for (let round = 1; round <= 3; round++) {
      spool.put(2_000);
      await eventually("delivery", () => spool.queue.depth() === 0);
    }
    await eventually("the skip", () => (readers.state("search")?.depth ?? 0) <= 1_000);
    assert.equal(readers.state("search")?.skipped, 5_000);
    await publisher.line(/Subscription \\"search\\" exceeded subscription.lag_limit/);
    await eventually("the trim", () => readers.rows() === 1_000);
    await stop(publisher);

    await using late = readers.publisher("search");
    await eventually("what is left", () => readers.state("search")?.depth === 0);
    assert.deepEqual(readers.ids("search"), numbersFrom(5_001, 6_000));
    await stop(late);
  },
);
