/**
 * A fleet of publishers and their one collector in simulated time, with the real `CircuitBreaker` (backoff) and
 * `ConcurrencyLimit` (concurrency).
 */
import { CircuitBreaker } from "../src/publisher/circuit_breaker.ts";
import { ConcurrencyLimit } from "../src/publisher/concurrency_limit.ts";
import { Timeline } from "./timeline.ts";

/** Options of a simulation. */
export interface Fleet {
  readonly hosts: number;
  /** What each host puts. */
  readonly eventsPerS: number;
  /** What the collector can take, in events and in requests a second; it is 50 ms away. */
  readonly collectorEventsPerS: number;
  readonly collectorRequestsPerS: number;
  /** For how long nothing is taken, in seconds; it begins at 0. */
  readonly outageS: number;
  /** How hosts behave: as ours do, or as a fixed retry every second with all requests at once would. */
  readonly strategy: "eventspool" | "fixed";
}

/** One simulated second. */
export interface Second {
  readonly s: number;
  readonly requests: number;
  readonly rejected: number;
  readonly delivered: number;
  readonly backlog: number;
}

const BATCH_EVENTS = 1_500;
const MIN_INTERVAL_MS = 50;
const MAX_IN_FLIGHT = 32;
const DISTANCE_MS = 50;
const CLIENT_TIMEOUT_MS = 10_000;
const REFUSED_MS = 5;

/** A collector responds 503 at once to what it cannot take within this time. */
const MAX_WAIT_MS = 5_000;

/** How a host decides when to send, and how much at once. */
interface Strategy {
  openForMs(nowMs: number): number;
  readonly limit: number;
  accepted(tookMs: number, inFlight: number, nowMs: number): void;
  failed(nowMs: number): void;
}

function ours(): Strategy {
  const breaker = new CircuitBreaker();
  const concurrency = new ConcurrencyLimit(MAX_IN_FLIGHT);
  return {
    openForMs: (nowMs) => breaker.openForMs(nowMs),
    get limit() {
      return concurrency.count;
    },
    accepted: (tookMs, inFlight, nowMs) => {
      if (breaker.failures === 0) concurrency.succeeded(tookMs, inFlight, nowMs);
      breaker.succeeded(nowMs);
    },
    failed: (nowMs) => {
      concurrency.failed();
      breaker.failed(0, nowMs);
    },
  };
}

/** A common client: all requests at once, and a sleep of one second after a failure. */
function fixed(): Strategy {
  let opensAtMs = 0;
  return {
    openForMs: (nowMs) => Math.max(0, opensAtMs - nowMs),
    limit: MAX_IN_FLIGHT,
    accepted: () => {},
    failed: (nowMs) => {
      opensAtMs = Math.max(opensAtMs, nowMs + 1_000);
    },
  };
}

/** One host: what it has delivered determines what waits. */
class Host {
  readonly strategy: Strategy;
  readonly #eventsPerMs: number;
  #taken = 0;
  #inFlight = 0;
  #sentAtMs = Number.NEGATIVE_INFINITY;

  constructor(eventsPerS: number, strategy: Strategy) {
    this.#eventsPerMs = eventsPerS / 1_000;
    this.strategy = strategy;
  }

  waiting(nowMs: number): number {
    return Math.floor(nowMs * this.#eventsPerMs) - this.#taken;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes a batch out, if it is time for one; else how long until it may be. */
  take(nowMs: number): { readonly events: number } | { readonly waitMs: number } {
    const openForMs = this.strategy.openForMs(nowMs);
    if (openForMs > 0) return { waitMs: openForMs };
    if (this.#inFlight >= this.strategy.limit) return { waitMs: Number.POSITIVE_INFINITY };
    const waiting = this.waiting(nowMs);
    const isFull = waiting >= BATCH_EVENTS;
    if (!isFull && this.#inFlight > 0) return { waitMs: Number.POSITIVE_INFINITY };
    const lingerMs = this.#sentAtMs + MIN_INTERVAL_MS - nowMs;
    if (!isFull && (waiting === 0 || lingerMs > 0))
      return { waitMs: Math.max(lingerMs, 1 / this.#eventsPerMs) };
    const events = Math.min(waiting, BATCH_EVENTS);
    this.#taken += events;
    this.#inFlight++;
    this.#sentAtMs = nowMs;
    return { events };
  }

  /** A batch has come to its end; one that failed waits again. */
  settle(events: number, isAccepted: boolean): void {
    this.#inFlight--;
    if (!isAccepted) this.#taken -= events;
  }
}

/** Simulates an outage and the recovery, for `untilS` seconds in all. */
export function simulate(fleet: Fleet, untilS: number): Second[] {
  const { hosts: count, eventsPerS, outageS, strategy } = fleet;
  const timeline = new Timeline();
  const seconds = Array.from({ length: untilS }, () => ({
    requests: 0,
    rejected: 0,
    delivered: 0,
    backlog: 0,
  }));
  let busyUntilMs = 0;

  const arrive = (host: Host, events: number, sentAtMs: number): void => {
    const second = seconds[Math.floor(sentAtMs / 1_000)];
    if (second !== undefined) second.requests++;
    const serviceMs = (events / fleet.collectorEventsPerS + 1 / fleet.collectorRequestsPerS) * 1_000;
    const isDown = sentAtMs < outageS * 1_000;
    const waitMs = Math.max(0, busyUntilMs - sentAtMs) + serviceMs;
    const isAccepted = !isDown && waitMs <= MAX_WAIT_MS;
    if (isAccepted) busyUntilMs = sentAtMs + waitMs;
    const tookMs = isDown ? REFUSED_MS : DISTANCE_MS + (isAccepted ? waitMs : 0);
    timeline.at(sentAtMs + Math.min(tookMs, CLIENT_TIMEOUT_MS), (nowMs) => {
      if (isAccepted) host.strategy.accepted(tookMs, host.inFlight, nowMs);
      else host.strategy.failed(nowMs);
      host.settle(events, isAccepted);
      const then = seconds[Math.floor(nowMs / 1_000)];
      if (then !== undefined && isAccepted) then.delivered += events;
      else if (then !== undefined) then.rejected++;
      step(host, nowMs);
    });
  };
  const step = (host: Host, nowMs: number): void => {
    for (;;) {
      const next = host.take(nowMs);
      if ("waitMs" in next) {
        if (Number.isFinite(next.waitMs))
          timeline.at(nowMs + next.waitMs, (thenMs) => step(host, thenMs), host);
        return;
      }
      arrive(host, next.events, nowMs);
    }
  };

  const all = Array.from(
    { length: count },
    () => new Host(eventsPerS, strategy === "fixed" ? fixed() : ours()),
  );
  for (const host of all) timeline.at(Math.random() * 1_000, (nowMs) => step(host, nowMs), host);
  for (const [s, second] of seconds.entries())
    timeline.at(s * 1_000 + 999, (nowMs) => {
      for (const host of all) second.backlog += host.waiting(nowMs);
    });
  timeline.run(untilS * 1_000);
  return seconds.map((second, s) => ({ s, ...second }));
}
