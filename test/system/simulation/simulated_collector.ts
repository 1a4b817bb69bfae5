/** A collector behind a network, in simulated time. A seed decides what it and the network do to each request. */
import assert from "node:assert/strict";
import type {
  Delivery,
  Destination,
  LeasedBatch,
  Outcome,
  Unavailable,
} from "../../../src/publisher/destinations/destination.ts";
import type { Actor, SimulatedTime } from "./simulated_time.ts";

/** How long a delivery may take, in milliseconds. */
export const TIMEOUT_MS = 10_000;

/** The Retry-After of some responses, in milliseconds. */
const RETRY_AFTER_MS = 5 * 60_000;

/** What a service puts. */
export interface NumberedEvent {
  readonly n: number;
  readonly isPoison: boolean;
}

/** What a collector or the network to it does for a while. */
export type Mood = (typeof MOODS)[number];
const MOODS = [
  "well",
  "down",
  "unreachable",
  "partitioned",
  "slow",
  "losing_responses",
  "misconfigured",
  "too_large",
  "halving",
  "storing_parts",
  "rejecting_all",
  "flaky",
] as const;

/** The moods other than `well`. */
export const FAULTS: readonly Mood[] = MOODS.slice(1);

/** What happened to requests. */
export interface CollectorCounts {
  requests: number;
  lostResponses: number;
  duplicateRequests: number;
  duplicateEvents: number;
  tooLarge: number;
  /** Events that consumers in the service's process got. */
  consumed: number;
}

/** A publisher as its collector sees it. */
export interface Sender {
  readonly actor: Actor;
  /** Whether none of its requests arrive. */
  isCutOff: boolean;
  /** How many of its events were accepted, as far as it knows. */
  acceptedCount: number;
}

/** An event as it was sent. */
export interface SentEvent extends NumberedEvent {
  readonly id: number;
  /** Its UUID and id, by which duplicates are dropped. */
  readonly name: string;
}

/** An event that a collector knows by its name. */
export interface KnownEvent {
  readonly n: number;
  /** Which publisher brought it first. */
  readonly sender: Sender;
}

/** The identity of a queue, which all collectors of a world see. */
export interface Identity {
  /**
   * Whether its UUID may change: a publisher met events that another one had brought, of a lease that was taken over or of
   * another subscription. If it sent them for the first time, it may take that for a rollback.
   */
  mayChange: boolean;
}

const LOST: Unavailable = { kind: "unavailable", reason: "no response", isTransport: true };

/** The collector of one subscription. It drops duplicates by their names, which it may share with another's. */
export class SimulatedCollector {
  mood: Mood = "well";
  /** Whether it accepts all events. */
  takesPoison = false;
  /** The ids of the events that arrived. */
  readonly arrived: Set<number> = new Set();
  /** The ids of the events that it rejected by themselves. */
  readonly rejected: Set<number> = new Set();
  /** The ids of the events that it has decided since this was cleared: a replay brings them again. */
  readonly decided: Set<number> = new Set();
  /** Up to this id a replay or a seek may bring events later than others. */
  reorderedUpToId = 0;
  /** When a publisher last sent or got a response, in simulated milliseconds. */
  lastContactAtMs = 0;
  /** Until when it has asked a publisher to wait, in simulated milliseconds. */
  retryAfterEndsAtMs = 0;
  readonly counts: CollectorCounts = {
    requests: 0,
    lostResponses: 0,
    duplicateRequests: 0,
    duplicateEvents: 0,
    tooLarge: 0,
    consumed: 0,
  };
  #newestId = 0;
  #uuid: string | undefined;
  readonly #identity: Identity;
  readonly #time: SimulatedTime;
  readonly #names: Map<string, KnownEvent>;
  /** Whether events come in order: one publisher sends one batch after the other. */
  readonly #inOrder: boolean;
  readonly #expects: (id: number) => boolean;
  readonly #network: Actor = { name: "network", isDead: false };

  /** @param options `names`: which number each event that is known has; `expects`: whether an event may be sent here */
  constructor(
    time: SimulatedTime,
    {
      names,
      inOrder,
      expects,
      identity,
    }: {
      names: Map<string, KnownEvent>;
      inOrder: boolean;
      expects: (id: number) => boolean;
      identity: Identity;
    },
  ) {
    this.#time = time;
    this.#names = names;
    this.#inOrder = inOrder;
    this.#expects = expects;
    this.#identity = identity;
  }

  /** A publisher's way to it. */
  destination(sender: Sender): Destination {
    return {
      url: "simulated://collector",
      timeoutMs: TIMEOUT_MS,
      emptyBatchBytes: 2,
      prepare: async (batch) => this.#delivery(batch, sender),
      close: async () => {},
    };
  }

  #delivery(batch: LeasedBatch, sender: Sender): Delivery {
    const events = batch.events().map(({ id, body }) => ({
      id,
      name: `${batch.queueUuid}:${id}`,
      ...(JSON.parse(Buffer.from(body).toString()) as NumberedEvent),
    }));
    return { sizeBytes: batch.joined.length, send: (stop) => this.#send(events, { sender, stop }) };
  }

  /** A consumer in the service's own process has events: there is no network in between. */
  consume(events: readonly SentEvent[], sender: Sender): void {
    this.lastContactAtMs = this.#time.nowMs;
    this.counts.consumed += events.length;
    for (const event of events) this.decided.add(event.id);
    for (const event of events) this.#accept(event, sender);
  }

  /** The request arrives or not, and its response does or not, even if the sender was killed meanwhile. */
  #send(
    events: readonly SentEvent[],
    { sender, stop }: { sender: Sender; stop: AbortSignal },
  ): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.lastContactAtMs = this.#time.nowMs;
    this.counts.requests++;
    const end = (outcome: Outcome): void => {
      timeout[Symbol.dispose]();
      stop.removeEventListener("abort", abort);
      this.lastContactAtMs = this.#time.nowMs;
      if (outcome.kind === "accepted") sender.acceptedCount += events.length;
      if (outcome.kind === "partial")
        sender.acceptedCount += events.length - outcome.rejected.length - outcome.undelivered.length;
      resolve(outcome);
    };
    const abort = (): void => end(LOST);
    const timeout = this.#time.after(TIMEOUT_MS, () => end(LOST));
    stop.addEventListener("abort", abort, { once: true });
    const { mood } = this;
    if (mood === "unreachable") this.#time.after(1, () => end({ ...LOST, isUnsent: true }));
    else if (mood !== "partitioned" && !sender.isCutOff) this.#transmit(events, { sender, end });
    return promise;
  }

  #transmit(
    events: readonly SentEvent[],
    { sender, end }: { sender: Sender; end: (outcome: Outcome) => void },
  ): void {
    const { random } = this.#time;
    const delayMs = () => (this.mood === "slow" ? random() * 1.2 * TIMEOUT_MS : 1 + random() * 100);
    const arrive = (): Outcome => this.#receive(events, sender);
    const respond = (): void => {
      const outcome = arrive();
      if (this.mood === "losing_responses" && random() < 0.5) return void this.counts.lostResponses++;
      const isStored = outcome.kind === "accepted" || outcome.kind === "partial";
      this.#time.as(sender.actor, () => this.#time.after(delayMs(), () => end(outcome)));
      if (!isStored || random() > 0.03) return;
      this.counts.duplicateRequests++; // the network brings it once more
      this.#time.after(random() ** 3 * 600_000, arrive);
    };
    this.#time.as(this.#network, () => this.#time.after(delayMs(), respond));
  }

  #receive(events: readonly SentEvent[], sender: Sender): Outcome {
    const { random } = this.#time;
    const { mood } = this;
    const down: Outcome = { kind: "unavailable", reason: "down" };
    if (mood === "down" && random() < 0.2) {
      this.retryAfterEndsAtMs = this.#time.nowMs + RETRY_AFTER_MS;
      return { ...down, retryAfterMs: RETRY_AFTER_MS };
    }
    if (mood === "down" || (mood === "flaky" && random() < 0.3)) return down;
    if (mood === "misconfigured") return { kind: "misconfigured", reason: "401" };
    if (mood === "too_large" && events.length > 3) {
      this.counts.tooLarge++;
      return { kind: "rejected", status: 413, response: "too large" };
    }
    if (mood === "rejecting_all" || (mood === "halving" && events.some(({ isPoison }) => isPoison))) {
      if (events.length === 1) {
        this.rejected.add(events[0]!.id);
        this.decided.add(events[0]!.id);
      }
      return { kind: "rejected", status: 422, response: "one of them is wrong" };
    }
    const storedCount = mood === "storing_parts" ? Math.floor(random() * (events.length + 1)) : events.length;
    return this.#store(events.slice(0, storedCount), events.slice(storedCount), sender);
  }

  #store(decidedEvents: readonly SentEvent[], undecided: readonly SentEvent[], sender: Sender): Outcome {
    const isBad = ({ isPoison }: SentEvent): boolean => isPoison && !this.takesPoison;
    const good = decidedEvents.filter((event) => !isBad(event));
    const duplicates = good.filter((event) => this.#accept(event, sender)).length;
    const rejected = decidedEvents.filter(isBad).map(({ id }) => ({ id, status: 422, response: "wrong" }));
    for (const { id } of rejected) this.rejected.add(id);
    for (const { id } of decidedEvents) this.decided.add(id);
    if (rejected.length + undecided.length === 0) return { kind: "accepted", duplicates };
    const failure = { kind: "unavailable", reason: "stores parts only" } as const;
    const undelivered = undecided.map(({ id }) => id);
    return { kind: "partial", rejected, undelivered, duplicates, ...(undecided.length > 0 && { failure }) };
  }

  /** Returns whether it has the event already. */
  #accept({ id, name, n, isPoison }: SentEvent, sender: Sender): boolean {
    const known = this.#names.get(name);
    assert.equal(known?.n ?? n, n, `two events have the name ${name}`);
    if (known !== undefined && known.sender !== sender) this.#identity.mayChange = true;
    this.#uuid ??= name.slice(0, name.indexOf(":"));
    if (!this.#identity.mayChange) assert.ok(name.startsWith(this.#uuid), `event ${id} has another UUID`);
    assert.ok(this.#expects(id), `event ${id} is for another subscription`);
    // An event that was rejected may be accepted later than those behind it.
    if (this.#inOrder && !isPoison && !this.arrived.has(id) && id > this.reorderedUpToId)
      assert.ok(id > this.#newestId, `event ${id} comes after ${this.#newestId}, from ${sender.actor.name}`);
    this.#newestId = Math.max(id, this.#newestId);
    this.arrived.add(id);
    if (known === undefined) this.#names.set(name, { n, sender });
    if (known !== undefined) this.counts.duplicateEvents++;
    return known !== undefined;
  }
}
