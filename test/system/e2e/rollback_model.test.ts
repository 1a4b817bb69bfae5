import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import type { Destination, LeasedBatch, Outcome } from "../../../src/publisher/destinations/destination.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { eventually } from "../../support/eventually.ts";
import fc from "../../support/fast_check.ts";
import { newPublisher } from "../../support/publisher.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/**
 * Stores events as a collector does: by name, and only the first of each name. Batches of more than two events
 * are rejected, so that they are split.
 */
class NamedEvents implements Destination {
  readonly url: string;
  readonly timeoutMs = 1_000;
  readonly emptyBatchBytes = 0;
  readonly #names = new Set<string>();
  readonly bodies: string[] = [];

  constructor(url: string) {
    this.url = url;
  }

  async prepare({ queueUuid, joined, events: readEvents }: LeasedBatch) {
    const events = readEvents().map(({ id, body }) => ({
      name: `${queueUuid}:${id}`,
      text: String(Buffer.from(body)),
    }));
    return { sizeBytes: joined.length, send: async (): Promise<Outcome> => this.#keep(events) };
  }

  async close(): Promise<void> {}

  #keep(events: readonly { readonly name: string; readonly text: string }[]): Outcome {
    if (events.length > 2) return { kind: "rejected", status: 413, response: "more than two" };
    const fresh = events.filter(({ name }) => !this.#names.has(name));
    for (const { name, text } of fresh) {
      this.#names.add(name);
      this.bodies.push(text);
    }
    return { kind: "accepted", duplicates: events.length - fresh.length };
  }
}

const SUBSCRIPTIONS = ["default", "audit"];

/** A queue file with two subscriptions that is used and restored. It is closed in between. */
class Model implements Disposable {
  /** Of each subscription. */
  readonly #destinations: ReadonlyMap<string, NamedEvents>;
  readonly #temporary = temporaryDirectory();
  readonly #path = join(this.#temporary.path, "events-main.db");
  #put = 0;
  /** The events that were put into the file or its snapshot; and those since the last restore. */
  #known: number[] = [];
  #since: number[] = [];
  #snapshot: { readonly bytes: Buffer; readonly known: number[] } | undefined;

  /** @param isShared whether both subscriptions send to one collector */
  constructor(isShared: boolean) {
    const shared = new NamedEvents("memory:");
    const destinationOf = (name: string) => (isShared ? shared : new NamedEvents(`memory:${name}`));
    this.#destinations = new Map(SUBSCRIPTIONS.map((name) => [name, destinationOf(name)]));
    const file = this.#open();
    new SubscriptionTable(file).add("audit");
    file.close();
  }

  async put(pick: number): Promise<void> {
    const file = this.#open();
    const numbers = Array.from({ length: (pick % 4) + 1 }, () => ++this.#put);
    new EventTable(file).putMany(numbers.map((n) => Buffer.from(String(n))));
    file.close();
    this.#known.push(...numbers);
    this.#since.push(...numbers);
  }

  /** Publishes all that a subscription has not settled. */
  async publish(name: string): Promise<void> {
    const settings = { "publisher.concurrency": "3", "publisher.subscription": name };
    await using publisher = newPublisher("http://127.0.0.1:1", this.#temporary.path, settings, {
      destination: this.#destinations.get(name)!,
    });
    const stop = new AbortController();
    const running = publisher.run({ signal: stop.signal });
    const file = this.#open();
    const subscriptions = new SubscriptionTable(file);
    await eventually("an end", () => subscriptions.get(name).depth === 0);
    file.close();
    stop.abort();
    await running;
  }

  async snapshot(): Promise<void> {
    if (this.#put > 0) this.#snapshot = { bytes: readFileSync(this.#path), known: [...this.#known] };
  }

  /** Restores the snapshot as another file. */
  async restore(): Promise<void> {
    if (this.#snapshot === undefined) return;
    const older = `${this.#path}-older`;
    writeFileSync(older, this.#snapshot.bytes); // so that the inode or its creation time differs
    rmSync(this.#path);
    this.#rollBack();
    rmSync(older);
  }

  /** Restores the snapshot in the same file. */
  async rollBack(): Promise<void> {
    if (this.#snapshot !== undefined) this.#rollBack();
  }

  /** Asserts that all known events, or those since the last restore, are stored by each collector. */
  check(which: "known" | "since"): void {
    for (const [name, { bodies }] of this.#destinations) {
      const stored = new Set(bodies);
      const lost = (which === "known" ? this.#known : this.#since).filter((n) => !stored.has(String(n)));
      assert.deepEqual(lost, [], name);
    }
  }

  [Symbol.dispose](): void {
    this.#temporary[Symbol.dispose]();
  }

  #open(): QueueFile {
    return QueueFile.open(this.#path);
  }

  #rollBack(): void {
    writeFileSync(this.#path, this.#snapshot!.bytes);
    this.#known = [...this.#snapshot!.known];
    this.#since = [];
  }
}

type Restore = "restore" | "rollBack";

/** By hand more: `RUNS=300`. */
const RUNS = Number(process.env.RUNS ?? 15);

const LIMIT = { timeout: 600_000 }; // thousands of syncs, which a busy disk makes slow

/** Rounds of puts, published or not. Each ends with a snapshot or a restore. */
async function holds(restores: readonly Restore[], which: "known" | "since"): Promise<void> {
  const round = fc.record({
    puts: fc.nat(3),
    published: fc.shuffledSubarray(SUBSCRIPTIONS),
    next: fc.constantFrom<"snapshot" | Restore>("snapshot", ...restores),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(round, { minLength: 2, maxLength: 6, size: "max" }),
      fc.shuffledSubarray(SUBSCRIPTIONS, { minLength: SUBSCRIPTIONS.length }),
      async (isShared, rounds, last) => {
        using model = new Model(isShared);
        for (const { puts, published, next } of rounds) {
          await model.put(puts);
          for (const name of published) await model.publish(name);
          await model[next]();
        }
        await model.put(0);
        for (const name of last) await model.publish(name);
        model.check(which);
      },
    ),
    { numRuns: RUNS },
  );
}

test("no event is lost, however often the queue file is restored as another file", LIMIT, async () => {
  await holds(["restore"], "known");
});

test("no event is lost, however often the queue file is rolled back in place", LIMIT, async () => {
  await holds(["rollBack"], "known");
});

test("no event put after the last restore is lost, after any restores before", LIMIT, async () => {
  await holds(["restore", "rollBack"], "since");
});
