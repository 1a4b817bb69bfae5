/** Reading a subscription in the process of a service. */
import { setTimeout } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { checkOptions, FUNCTION, OBJECT, type OptionKind, type OptionKinds, wholeFrom } from "../options.ts";
import type { EventTable } from "../storage/events.ts";
import { type Lease, LeaseTable } from "../storage/leases.ts";
import { isBusy } from "../storage/lock_wait.ts";
import type { QueueFile } from "../storage/queue_file.ts";
import { type LagLimit, type SubscriptionStart, SubscriptionTable } from "../storage/subscriptions.ts";
import { Trimmer } from "../storage/trim.ts";
import { Checkpoints, DurableEvents, WalWatcher } from "../storage/wal.ts";

/** The most events in a batch. */
const DEFAULT_MAX_EVENTS = 100;

/** How large a batch is, in bytes of bodies: it ends with the event that reaches this. */
const MAX_BATCH_BYTES = 4_194_304;

/** How long a batch may take until others may get it, in milliseconds. */
const DEFAULT_LEASE_MS = 60_000;

/** How often an idle consumer checks for events, in case the watch of the file fails or a lease expires, in milliseconds. */
const POLL_MS = 1_000;

/** Options of {@link EventQueue.subscribe}. All are optional. */
export interface SubscribeOptions<E> {
  /** Turns the bytes of an event into `event` of the batch. If it throws, the event becomes a dead letter. Default: `JSON.parse`. */
  readonly decode?: ((body: Uint8Array) => E) | undefined;
  /**
   * The first event of a subscription that this call adds: `now` for the next event that is put, `oldest` for the oldest
   * event in the file, an id, or a time. Default: `now`.
   */
  readonly start?: SubscriptionStart | undefined;
  /**
   * How far a subscription that this call adds may lag before it skips events. Default: it never skips events, and puts
   * are rejected when it lags by the queue's `maxEvents`.
   */
  readonly lagLimit?: LagLimit | undefined;
  /** The most events in a batch. Default: 100. */
  readonly maxEvents?: number | undefined;
  /** How many batches may be unsettled at once; then the iterator waits. Default: 1. */
  readonly maxInFlight?: number | undefined;
  /** How long a batch may take, in milliseconds; then it is repeated, or given to another consumer. Default: 60,000. */
  readonly leaseMs?: number | undefined;
  /** Ends the iterator when it aborts; unsettled batches are released. Default: none. */
  readonly signal?: AbortSignal | undefined;
}

/** An event of a batch. */
export interface SubscribedEvent<E> {
  /** The event's unique name, such as `8a6e...:101`. It is the same when the event is repeated: use it to do things once. */
  readonly id: string;
  /** The result of `decode`. */
  readonly event: E;
  /** When it was put. */
  readonly putAt: Date;
}

/** Events of a subscription. They are repeated until the batch is acked. */
export interface EventBatch<E> {
  /** In the order in which they were put; at least one. */
  readonly events: readonly SubscribedEvent<E>[];
  /** How often these events were given to a consumer, including this time. */
  readonly attempts: number;
  /**
   * Settles the events: they are not repeated. Returns false if the batch took longer than `leaseMs`; then they are.
   *
   * @throws {EventStorageError} the file cannot be written; call it again
   */
  ack(): boolean;
  /** Gives the events back: they are repeated at once. False: they already are. @throws {EventStorageError} as {@link ack} does */
  release(): boolean;
}

const START: OptionKind = {
  expected: '"now", "oldest", an id or a Date',
  matches: (value) =>
    value === "now" ||
    value === "oldest" ||
    (Number.isSafeInteger(value) && (value as number) > 0) ||
    (value instanceof Date && !Number.isNaN(value.getTime())),
};

const OPTION_KINDS: OptionKinds<SubscribeOptions<unknown>> = {
  decode: FUNCTION,
  start: START,
  lagLimit: OBJECT,
  maxEvents: wholeFrom(1, 10_000),
  maxInFlight: wholeFrom(1, 1_000),
  leaseMs: wholeFrom(1),
  signal: OBJECT,
};

const LAG_KINDS: OptionKinds<LagLimit> = { maxEvents: wholeFrom(1), maxAgeMs: wholeFrom(1) };

/** Reads one subscription. It also maintains the file as a publisher does, because there may be no publisher. */
export class SubscriptionReader<E> {
  readonly #leases: LeaseTable;
  readonly #decode: (body: Uint8Array) => E;
  readonly #maxEvents: number;
  readonly #maxInFlight: number;
  readonly #leaseMs: number;
  readonly #durable: DurableEvents;
  readonly #checkpoints: Checkpoints;
  readonly #trimmer: Trimmer;
  readonly #watch: WalWatcher;
  /** Unsettled batches, with the times at which their leases expire. */
  readonly #held = new Map<number, { readonly lease: Lease; readonly lostAtMs: number; bytes: number }>();
  readonly #signal: AbortSignal | undefined;
  #isClosed = false;
  #wake: () => void = () => {};

  /**
   * @throws {ConfigurationError} the name or an option is not valid
   * @throws {EventStorageError} the file cannot be written
   */
  constructor(file: QueueFile, events: EventTable, name: string, options: SubscribeOptions<E>) {
    checkOptions(options, OPTION_KINDS);
    checkOptions(options.lagLimit ?? {}, LAG_KINDS);
    const { start = "now", lagLimit = {}, leaseMs = DEFAULT_LEASE_MS } = options;
    new SubscriptionTable(file).add(name, { start, limit: lagLimit });
    this.#leases = new LeaseTable(file, leaseMs, { subscription: name });
    this.#decode = options.decode ?? ((body) => JSON.parse(new TextDecoder().decode(body)) as E);
    this.#maxEvents = options.maxEvents ?? DEFAULT_MAX_EVENTS;
    this.#maxInFlight = options.maxInFlight ?? 1;
    this.#leaseMs = leaseMs;
    this.#durable = new DurableEvents(file.path, events);
    this.#checkpoints = new Checkpoints(file);
    this.#trimmer = new Trimmer(file);
    this.#watch = new WalWatcher(file.path, () => this.#wake());
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.close, { once: true });
    if (this.#signal?.aborted) this.close();
  }

  /** Whether it has ended. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The batches, until it is closed. Leaving the loop closes it. @throws {EventStorageError} the file fails; subscribe again later */
  async *batches(): AsyncGenerator<EventBatch<E>, void, undefined> {
    try {
      let idleSinceMs = performance.now();
      while (!this.#isClosed) {
        const batch = this.#hasRoom() ? await this.#next() : undefined;
        if (batch === undefined) {
          await this.#rest(performance.now() - idleSinceMs);
          continue;
        }
        this.#watch.disarm();
        yield batch;
        idleSinceMs = performance.now();
      }
    } finally {
      this.close();
    }
  }

  /** Releases unsettled batches, and ends the iterator. A second call does nothing. */
  readonly close = (): void => {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#signal?.removeEventListener("abort", this.close);
    this.#watch.disarm();
    for (const { lease } of this.#held.values())
      try {
        this.#leases.release(lease);
      } catch {
        // A held lock or a full disk: then the lease expires. The end of a loop or of a service must not fail for that.
      }
    this.#held.clear();
    void this.#durable.close();
    this.#wake();
  };

  #hasRoom(): boolean {
    for (const [id, { lostAtMs }] of this.#held) if (performance.now() >= lostAtMs) this.#held.delete(id);
    return this.#held.size < this.#maxInFlight;
  }

  /** The next batch; undefined: there is none yet. */
  async #next(): Promise<EventBatch<E> | undefined> {
    const lease = this.#claim();
    if (lease === undefined) return undefined;
    this.#held.set(lease.id, { lease, lostAtMs: performance.now() + this.#leaseMs, bytes: 0 });
    await this.#durable.reach(lease.lastId); // else a power cut could give its ids to other events
    if (this.#isClosed) return undefined; // and released
    const events = this.#decoded(lease);
    if (events === undefined) return this.#next();
    return {
      events,
      attempts: lease.attempts,
      ack: () => this.#settle(lease, () => this.#leases.ack(lease)),
      release: () => this.#settle(lease, () => this.#leases.release(lease)),
    };
  }

  #claim(): Lease | undefined {
    const limits = { maxEvents: this.#maxEvents, maxBytes: MAX_BATCH_BYTES };
    try {
      if (this.#leases.state().pausedAtMs !== null) return undefined;
      return this.#leases.claimNext({ ...limits, except: this.#held });
    } catch (error) {
      if (isBusy(error)) return undefined; // another process holds the lock
      throw error;
    }
  }

  /** Undefined: some could not be decoded. They are dead letters now, and the others are claimed again. */
  #decoded(lease: Lease): SubscribedEvent<E>[] | undefined {
    const uuid = this.#leases.epochs.uuidAt(lease.firstId);
    const events: SubscribedEvent<E>[] = [];
    const dead: { id: number; status: number; response: string }[] = [];
    const rows = this.#leases.readEach(lease);
    this.#held.get(lease.id)!.bytes = rows.reduce((bytes, { body }) => bytes + body.length, 0);
    for (const { id, putAtMs, body } of rows)
      try {
        events.push({ id: `${uuid}:${id}`, event: this.#decode(body), putAt: new Date(putAtMs) });
      } catch (error) {
        dead.push({ id, status: 0, response: `cannot be decoded: ${error}` });
      }
    if (dead.length === 0 && rows.length > 0) return events;
    const isDead = new Set(dead.map(({ id }) => id));
    const kept = rows.map(({ id }) => id).filter((id) => !isDead.has(id));
    this.#settle(lease, () => this.#leases.settle(lease, { dead, kept }) !== undefined);
    return undefined;
  }

  #settle(lease: Lease, settle: () => boolean): boolean {
    const held = this.#held.get(lease.id);
    if (this.#isClosed || held === undefined) return false;
    const isOurs = settle();
    this.#held.delete(lease.id);
    this.#maintain(held.bytes);
    this.#wake();
    return isOurs;
  }

  #maintain(settledBytes: number): void {
    try {
      this.#checkpoints.keepUp();
      this.#trimmer.keepUp(settledBytes);
    } catch {
      // The batch is settled, and the next one tries again.
    }
  }

  /** Waits until there may be something to do. */
  async #rest(idleForMs: number): Promise<void> {
    if (this.#held.size < this.#maxInFlight) {
      if (this.#watch.arm()) return; // an event may have come before
      if (this.#held.size === 0 && this.#trimmer.onIdle(idleForMs)) {
        this.#checkpoints.keepUp();
        await sleep(1);
        return;
      }
    }
    const lostInMs = Math.min(
      ...[...this.#held.values()].map(({ lostAtMs }) => lostAtMs - performance.now()),
    );
    await this.#sleep(Math.max(1, Math.min(POLL_MS, this.#watch.quietForMs(), lostInMs)));
  }

  /** Sleeps until something happens, at most for so long. Does not keep the process alive by itself longer than that. */
  async #sleep(durationMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, durationMs);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }
}
