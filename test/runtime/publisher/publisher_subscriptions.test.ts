import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStorageError } from "../../../src/errors.ts";
import type { Destination, LeasedBatch, Outcome } from "../../../src/publisher/destinations/destination.ts";
import { healthOf } from "../../../src/publisher/health.ts";
import type { Publisher } from "../../../src/publisher/publisher.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { eventually } from "../../support/eventually.ts";
import { newPublisher } from "../../support/publisher.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Keeps events by the names that they come with, and says which it had. Rejects those that it is told to. */
class NamedEvents implements Destination {
  readonly url = "memory:";
  readonly timeoutMs = 1_000;
  readonly emptyBatchBytes = 0;
  readonly names = new Set<string>();
  readonly rejected = new Set<number>();
  received = 0;

  async prepare({ queueUuid, joined, events }: LeasedBatch) {
    const ids = events().map(({ id }) => id);
    return { sizeBytes: joined.length, send: async (): Promise<Outcome> => this.#keep(queueUuid, ids) };
  }

  async close(): Promise<void> {}

  #keep(uuid: string, ids: readonly number[]): Outcome {
    this.received += ids.length;
    const before = this.names.size;
    const taken = ids.filter((id) => !this.rejected.has(id));
    for (const id of taken) this.names.add(`${uuid}:${id}`);
    const duplicates = taken.length - (this.names.size - before);
    if (taken.length === ids.length) return { kind: "accepted", duplicates };
    const rejected = ids
      .filter((id) => this.rejected.has(id))
      .map((id) => ({ id, status: 422, response: "no" }));
    return { kind: "partial", duplicates, rejected, undelivered: [] };
  }
}

class Queue implements AsyncDisposable {
  readonly #temporary = temporaryDirectory();
  readonly destination = new NamedEvents();
  readonly #publishers: Publisher[] = [];
  readonly file = QueueFile.open(`${this.#temporary.path}/events-main.db`);
  readonly events = new EventTable(this.file);
  readonly subscriptions = new SubscriptionTable(this.file);

  put(count: number): void {
    this.events.putMany(Array.from({ length: count }, () => Buffer.from("{}")));
  }

  /** What hooks were called with. */
  readonly told: unknown[][] = [];

  publisher(settings: Record<string, string> = {}): Publisher {
    const publisher = newPublisher("http://collector.invalid", this.#temporary.path, settings, {
      destination: this.destination,
      onDelivered: ({ subscription, count }) => this.told.push([subscription, "delivered", count]),
      onDeadLetter: ({ subscription, id }) => this.told.push([subscription, "dead letter", id]),
    });
    this.#publishers.push(publisher);
    return publisher;
  }

  async run(publisher: Publisher, what: string, until: () => boolean): Promise<void> {
    const stop = new AbortController();
    const running = publisher.run({ signal: stop.signal });
    await eventually(what, until);
    stop.abort();
    await running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const publisher of this.#publishers) await publisher[Symbol.asyncDispose]();
    this.file.close();
    this.#temporary[Symbol.dispose]();
  }
}

test("takes the duplicates of a second subscription, of a seek and of a replay for what they are", async () => {
  await using queue = new Queue();
  const first = queue.publisher({ "queue.retention": "1h" });
  queue.put(20);
  await queue.run(first, "the first delivery", () => queue.events.depth() === 0);
  const { names } = queue.destination;
  const before = [...names];

  const second = queue.publisher({ "publisher.subscription": "second", "subscription.start": "oldest" });
  await queue.run(second, "the second one", () => queue.subscriptions.get("second").depth === 0);
  assert.equal(second.metrics().counts.duplicates, 20);

  queue.subscriptions.seek("second", "oldest");
  queue.subscriptions.replay("second", { firstId: 5, lastId: 9 });
  const again = queue.publisher({ "publisher.subscription": "second" });
  await queue.run(again, "the replay", () => {
    const { depth, replayLeft } = queue.subscriptions.get("second");
    return depth + replayLeft === 0;
  });

  queue.subscriptions.replay("default", { firstId: 1, lastId: 20 });
  queue.put(1);
  const replaying = queue.publisher();
  await queue.run(replaying, "the other replay", () => {
    const { depth, replayLeft } = queue.subscriptions.get("default");
    return depth + replayLeft === 0;
  });
  assert.equal(replaying.metrics().counts.duplicates, 20);
  for (const publisher of [first, second, again, replaying]) {
    assert.equal(publisher.metrics().counts.rollbacks, 0);
    assert.deepEqual(healthOf(publisher.status()).reasons, []);
  }
  assert.deepEqual([...names].slice(0, 20), before, "no event got another name");
  assert.equal(names.size, 21);
});

test("gives a dead letter that is retried to its own subscription alone", async () => {
  await using queue = new Queue();
  const one = queue.publisher();
  const other = queue.publisher({ "publisher.subscription": "other", "subscription.start": "oldest" });
  queue.put(3);
  queue.destination.rejected.add(2);
  await queue.run(one, "delivery", () => queue.subscriptions.get("default").depth === 0);
  queue.destination.rejected.clear();
  await queue.run(other, "the other one", () => queue.subscriptions.get("other").depth === 0);
  assert.deepEqual(
    queue.subscriptions.list().map(({ name, deadLetters }) => [name, deadLetters]),
    [
      ["default", 1],
      ["other", 0],
    ],
  );
  assert.deepEqual(queue.told, [
    ["default", "dead letter", 2],
    ["default", "delivered", 2],
    ["other", "delivered", 3],
  ]);
  assert.match(healthOf(one.status()).reasons.join(), /rejected 1 event/);
  assert.deepEqual(healthOf(other.status()).reasons, []);

  await one.deadLetters.retry({ ids: [2] });
  queue.put(1);
  const before = queue.destination.received;
  const next = [queue.publisher(), queue.publisher({ "publisher.subscription": "other" })];
  for (const publisher of next)
    await queue.run(
      publisher,
      "what came since",
      () => queue.subscriptions.get(publisher.subscription).depth === 0,
    );
  assert.equal(queue.destination.received - before, 3, "the retried one once, and the new one twice");
});

test("does not start without its subscription, unless an option says where to begin, and fails when it is removed", async () => {
  await using queue = new Queue();
  assert.throws(
    () => queue.publisher({ "publisher.subscription": "audti" }),
    (error) => error instanceof EventStorageError && error.code === "NO_SUBSCRIPTION",
  );
  queue.put(2);
  const audit = queue.publisher({
    "publisher.subscription": "audit",
    "subscription.start": "2",
    "subscription.lag_limit": "500",
  });
  const { isRequired, maxLagEvents, depth } = queue.subscriptions.get("audit");
  assert.deepEqual([isRequired, maxLagEvents, depth], [false, 500, 1]);
  queue.publisher({ "publisher.subscription": "audit", "subscription.lag_limit": "off" });
  assert.equal(queue.subscriptions.get("audit").isRequired, true);

  await queue.run(audit, "its failure", () => {
    queue.subscriptions.has("audit") && queue.subscriptions.remove("audit");
    const status = audit.status();
    return (
      healthOf(status).health === "failing" && (status.lastProblem?.message.includes("was removed") ?? false)
    );
  });
});
