import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigurationError, EventQueueClosedError } from "../../../src/errors.ts";
import { type EventBatch, EventQueue, type EventQueueOptions, serializeJsonEvent } from "../../../src/mod.ts";
import { DeadLetterTable } from "../../../src/storage/dead_letters.ts";
import { Pause } from "../../../src/storage/pause.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { eventually } from "../../support/eventually.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

interface Numbered {
  readonly n: number;
}

class TestQueue implements Disposable {
  readonly #directory = temporaryDirectory();
  readonly events = this.open();
  #put = 0;

  open(options: EventQueueOptions = {}): EventQueue<Numbered> {
    return new EventQueue<Numbered>("main", serializeJsonEvent, {
      directory: this.#directory.path,
      maxEvents: 1_000_000,
      ...options,
    });
  }

  put(count: number): void {
    this.events.putMany(Array.from({ length: count }, () => ({ n: ++this.#put })));
  }

  [Symbol.dispose](): void {
    this.events.close();
    this.#directory[Symbol.dispose]();
  }
}

function numbersOf(batch: EventBatch<Numbered>): number[] {
  return batch.events.map(({ event }) => event.n);
}

test("gives each subscription its events in batches, typed and named, until they are acked", async () => {
  using queue = new TestQueue();
  queue.put(1); // before they are added
  const subscriptions = ["index", "audit"].map((name) => queue.events.subscribe(name, { maxEvents: 3 }));
  queue.put(5);
  for (const subscription of subscriptions) {
    const got: number[][] = [];
    const names = new Set<string>();
    for await (const batch of subscription) {
      got.push(numbersOf(batch));
      for (const { id, putAt } of batch.events) {
        names.add(id);
        assert.ok(Math.abs(Date.now() - putAt.getTime()) < 60_000);
      }
      assert.equal(batch.ack(), true);
      assert.equal(batch.ack(), false, "once");
      if (got.flat().length === 5) break;
    }
    assert.deepEqual(got, [
      [2, 3, 4],
      [5, 6],
    ]);
    assert.ok([...names].every((name) => /^[\da-f-]{36}:[2-6]$/.test(name)));
  }
});

test("gives what is released again, with one more attempt, also what was left when the loop ended", async () => {
  using queue = new TestQueue();
  const options = { start: "oldest" } as const;
  queue.put(2);
  const attempts: number[] = [];
  for await (const batch of queue.events.subscribe("a", options)) {
    attempts.push(batch.attempts);
    assert.deepEqual(numbersOf(batch), [1, 2]);
    if (attempts.length === 2) break;
    assert.equal(batch.release(), true);
  }
  const failed = async (): Promise<void> => {
    for await (const batch of queue.events.subscribe("a")) {
      attempts.push(batch.attempts);
      throw new Error("the consumer fails");
    }
  };
  await assert.rejects(failed(), /the consumer fails/);
  for await (const batch of queue.events.subscribe("a")) {
    attempts.push(batch.attempts);
    batch.ack();
    break;
  }
  assert.deepEqual(attempts, [1, 2, 3, 4]);
});

test("ends while another process holds the lock, and what it could not release comes again", async () => {
  using queue = new TestQueue();
  queue.put(2);
  using events = queue.open({ busyTimeoutMs: 20 });
  const stop = new AbortController();
  const options = { start: "oldest", maxEvents: 1, maxInFlight: 2 } as const;
  const batches = events.subscribe<Numbered>("index", { ...options, signal: stop.signal });
  for (let n = 1; n <= 2; n++) assert.deepEqual(numbersOf((await batches.next()).value!), [n]);
  const other = QueueFile.open(events.file);
  other.db.exec("BEGIN IMMEDIATE");
  stop.abort(); // an error in here would end the process
  assert.equal((await batches.next()).done, true);
  other.db.exec("ROLLBACK; UPDATE eventspool_lease SET expires_at_ms = claimed_at_ms"); // as after their time
  other.close();
  const again = queue.events.subscribe<Numbered>("index", options);
  for (let n = 1; n <= 2; n++) assert.deepEqual(numbersOf((await again.next()).value!), [n]);
});

test("gives nothing while the queue is paused, and continues when it is resumed", async () => {
  using queue = new TestQueue();
  queue.put(1);
  const file = QueueFile.open(queue.events.file);
  const pause = new Pause(file);
  pause.set(true);
  const next = queue.events.subscribe<Numbered>("index", { start: "oldest" }).next();
  assert.equal(await Promise.race([next, sleep(50)]), undefined);
  pause.set(false);
  assert.deepEqual(numbersOf((await next).value!), [1]);
  file.close();
});

test("acks a batch though the file cannot be trimmed after it", async () => {
  using queue = new TestQueue();
  const batches = queue.events.subscribe<Numbered>("index");
  queue.events.putMany(Array.from({ length: 15 }, (_, n) => ({ n, text: "x".repeat(100_000) })));
  const file = QueueFile.open(queue.events.file);
  file.db.exec(
    "UPDATE eventspool_subscription SET claimed_id = 15, settled_count = 15 WHERE name = 'default'",
  );
  file.db.exec(
    "CREATE TRIGGER no_trim BEFORE DELETE ON eventspool_event BEGIN SELECT raise(ABORT, 'no'); END",
  );
  const { value: batch } = await batches.next();
  assert.equal(batch!.ack(), true);
  assert.throws(() => file.db.exec("DELETE FROM eventspool_event"), /no/);
  file.close();
});

test("has no more batches unsettled than allowed", async () => {
  using queue = new TestQueue();
  const subscription = queue.events.subscribe<Numbered>("slow", { maxEvents: 1, maxInFlight: 2 });
  queue.put(3);
  const batches = [(await subscription.next()).value!, (await subscription.next()).value!];
  assert.deepEqual(batches.map(numbersOf), [[1], [2]]);
  const third = subscription.next().then(({ value }) => value!);
  assert.equal(await Promise.race([third, sleep(20, "waiting")]), "waiting");
  assert.ok(batches[1]!.ack());
  assert.deepEqual(numbersOf(await third), [3]);
  await subscription.return?.();
});

test("gives a batch again that takes too long, and lets only the last one that got it settle it", async () => {
  using queue = new TestQueue();
  const subscription = queue.events.subscribe<Numbered>("slow", { leaseMs: 50 });
  queue.put(1);
  const { value: first } = await subscription.next();
  const { value: again } = await subscription.next();
  assert.deepEqual([first!.attempts, again!.attempts, numbersOf(again!)], [1, 2, [1]]);
  assert.equal(first!.ack(), false);
  await subscription.return?.();
});

test("waits for events of other processes, shares them between consumers, and ends by signal or close", async () => {
  using queue = new TestQueue();
  const stop = new AbortController();
  const got: number[] = [];
  const consume = async (signal?: AbortSignal): Promise<void> => {
    for await (const batch of queue.events.subscribe("shared", { maxEvents: 2, signal })) {
      got.push(...numbersOf(batch));
      batch.ack();
    }
  };
  const consumers = [consume(stop.signal), consume()];
  for (let round = 0; round < 3; round++) {
    await sleep(5);
    queue.put(4);
    await eventually("the events", () => got.length === 4 * (round + 1));
  }
  assert.deepEqual(
    got.toSorted((a, b) => a - b),
    Array.from({ length: 12 }, (_, index) => index + 1),
  );
  stop.abort();
  await consumers[0];
  queue.events.close();
  await consumers[1];
  assert.throws(() => queue.events.subscribe("shared"), EventQueueClosedError);
});

test("trims what is consumed, and keeps what cannot be decoded as dead letters", async () => {
  using queue = new TestQueue();
  const decode = (body: Uint8Array): Numbered => {
    const event = JSON.parse(Buffer.from(body).toString()) as Numbered;
    if (event.n % 10 === 7) throw new Error("a seven");
    return event;
  };
  queue.events.subscribe("default"); // no publisher is needed
  const subscription = queue.events.subscribe("default", { decode });
  queue.put(25);
  let count = 0;
  for await (const batch of subscription) {
    count += batch.events.length;
    batch.ack();
    if (count === 23) break;
  }
  const file = QueueFile.openReadOnly(queue.events.file);
  assert.deepEqual(
    new DeadLetterTable(file).list({ limit: 9 }).map(({ id, response }) => [id, response]),
    [
      [7, "cannot be decoded: Error: a seven"],
      [17, "cannot be decoded: Error: a seven"],
    ],
  );
  const idle = queue.events.subscribe("default").next(); // as it waits for more
  await eventually(
    "the trim",
    () => file.db.prepareFirst("SELECT count(*) FROM eventspool_event").get() === 0,
  );
  file.close();
  queue.events.close();
  assert.equal((await idle).done, true);
});

test("rejects names and options that are not valid", () => {
  using queue = new TestQueue();
  for (const [name, options] of [
    [".hidden", {}],
    ["a", { maxEvents: 0 }],
    ["a", { start: "yesterday" }],
    ["a", { lagLimit: { events: 3 } }],
    ["a", { batch: 3 }],
  ] as const)
    assert.throws(() => queue.events.subscribe(name, options as object), ConfigurationError);
});
