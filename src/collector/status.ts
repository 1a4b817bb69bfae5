/** The state of a collector: its health and its counts. */
import { Histogram } from "../metrics/family.ts";
import type { OptionKind } from "../options.ts";
import type { ConnectionStats } from "../server/connections.ts";

/** The time to store a batch after which health is failing, in milliseconds. */
const STORE_STALL_MS = 30_000;

/** How long the collector is not ready after a failure of its sink, in milliseconds. Then a balancer tries it again. */
const NOT_READY_MS = 10_000;

/** The longest `Retry-After`, in seconds: the sink may work again before. */
const MAX_RETRY_AFTER_S = 32;

/** Buckets of the time to store a batch, in seconds: from a file in memory to a cluster in trouble. */
const STORE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Buckets of the events per request. */
const EVENTS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/** How long health reports ignored `Event-Ids`, in milliseconds: five minutes. */
const IGNORED_IDS_MS = 300_000;

/** The outcome of a request. */
export type CollectOutcome =
  | "accepted"
  | "partly_rejected"
  | "malformed"
  | "unauthorized"
  | "too_large"
  | "too_slow"
  | "overloaded"
  | "not_stored"
  | "failed";

/** Why `Event-Ids` are ignored: there is not one id per event, or their signature is missing, wrong, too old or too new. */
export type IgnoredIdsReason = "malformed" | "unsigned" | "bad_mac" | "clock";

/** The reasons, for people. */
export const IGNORED_IDS_REASONS: Readonly<Record<IgnoredIdsReason, string>> = {
  malformed: "they do not have one id per event",
  unsigned: "the header Event-Ids-Signature is missing",
  bad_mac: "Event-Ids-Signature does not fit these ids, this body and this key",
  clock: "the time in Event-Ids-Signature differs from the collector's clock by more than five minutes",
};

/** The counts of one key. */
export interface KeyCounts {
  stored: number;
  duplicates: number;
  rejected: number;
  /** Bytes of decompressed bodies. */
  bytes: number;
  /** Requests that are being stored, and the bytes of their decompressed bodies. */
  pendingRequests: number;
  pendingBytes: number;
}

/** A failure of the sink. */
export interface StoreFailure {
  readonly atMs: number;
  readonly message: string;
}

/** An option that is a {@link CollectorStatus}, also of another copy of the package. */
export const STATUS: OptionKind = {
  expected: "a CollectorStatus",
  matches: (value) => typeof Object(value).health === "function",
};

/** The health of a collector, in a word and in sentences. */
export interface CollectorHealth {
  /** `degraded`: it stores batches, but somebody should check it soon. */
  readonly status: "ok" | "degraded" | "failing";
  /** What somebody should check. Empty if the status is `ok`. */
  readonly reasons: readonly string[];
}

/** The limits. */
export interface AdmissionLimits {
  /** The most requests that are stored at once. */
  readonly maxRequests: number;
  /** The most bytes of their decompressed bodies. Bodies that are being read have a budget of the same size. */
  readonly maxPendingBytes: number;
}

/** The state that {@link collector} updates and {@link collectorAdmin} shows. Create one, and pass it to both. */
export class CollectorStatus {
  /** @internal */
  readonly requests: Record<CollectOutcome, number> = {
    accepted: 0,
    partly_rejected: 0,
    malformed: 0,
    unauthorized: 0,
    too_large: 0,
    too_slow: 0,
    overloaded: 0,
    not_stored: 0,
    failed: 0,
  };
  /** @internal By the names of the keys that signed a batch. */
  readonly keys: Map<string, KeyCounts> = new Map();
  /** @internal */
  readonly storeSeconds: Histogram = new Histogram(STORE_SECONDS);
  /** @internal */
  readonly batchEvents: Histogram = new Histogram(EVENTS);
  /** @internal Requests whose `Event-Ids` were ignored: their events may be stored twice. */
  readonly ignoredIds: Record<IgnoredIdsReason, number> = { malformed: 0, unsigned: 0, bad_mac: 0, clock: 0 };
  /** When ids were last ignored for a reason that somebody must check. */
  #lastIgnored:
    | { readonly atMs: number; readonly keyName: string; readonly reason: IgnoredIdsReason }
    | undefined;
  /** @internal Requests that are being read; their signatures are not verified yet. */
  readingRequests = 0;
  /** @internal Bytes of their bodies that arrived. */
  readingBytes = 0;
  /** @internal Requests that are being stored. */
  pendingRequests = 0;
  /** @internal Bytes of their decompressed bodies. */
  pendingBytes = 0;
  /** @internal The limits of both. {@link collector} sets them. */
  limits: AdmissionLimits = {
    maxRequests: Number.POSITIVE_INFINITY,
    maxPendingBytes: Number.POSITIVE_INFINITY,
  };
  /** @internal The connections of the server, if it counts them. */
  connections: ConnectionStats | undefined;
  /** @internal Why the last reload failed and the old configuration is still in use; undefined if it did not. */
  reloadFailure: string | undefined;
  /** @internal Failures of the sink since it last stored a batch. */
  storeFailures = 0;
  /** @internal */
  lastFailure: StoreFailure | undefined;
  /** @internal */
  lastStoredAtMs: number | undefined;
  /** @internal See {@link Sink.risks}. {@link collector} sets it. */
  sinkRisks: () => readonly string[] = () => [];
  #isStopping = false;
  /** When each running store began, by `performance.now()`, the oldest first. */
  readonly #stores = new Set<{ readonly startedAtMs: number }>();
  /** @internal */
  readonly #whenIdle: (() => void)[] = [];

  /** Rejects new batches with 503 from now on. Call it before the server stops. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Whether {@link stop} was called. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** Resolves when no request is being read or stored. */
  idle(): Promise<void> {
    if (this.pendingRequests + this.readingRequests === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Whether a load balancer should send batches here. After a failure of the sink: again after 10 s. */
  get isReady(): boolean {
    const { lastFailure } = this;
    if (this.#isStopping || this.isSaturated) return false;
    return this.storeFailures === 0 || Date.now() - lastFailure!.atMs > NOT_READY_MS;
  }

  /** Whether a limit is reached, so that further batches get a 503. */
  get isSaturated(): boolean {
    const { maxRequests, maxPendingBytes } = this.limits;
    return this.pendingRequests >= maxRequests || this.pendingBytes >= maxPendingBytes;
  }

  /** The current health. */
  health(): CollectorHealth {
    const failing = this.#failures();
    const degraded = this.#warnings();
    const status = failing.length > 0 ? "failing" : degraded.length > 0 ? "degraded" : "ok";
    return { status, reasons: [...failing, ...degraded] };
  }

  /** What prevents storing. */
  #failures(): string[] {
    const reasons: string[] = [];
    if (this.#isStopping) reasons.push("It is stopping.");
    if (this.isSaturated)
      reasons.push(
        `It is storing ${this.pendingRequests} requests with ${this.pendingBytes} bytes, its limit: further batches get a 503.`,
      );
    if (this.storeFailures > 0)
      reasons.push(`The sink has failed ${this.storeFailures} times in a row: ${this.lastFailure?.message}`);
    const stalledS = Math.floor(this.#longestStoreMs() / 1_000);
    if (stalledS * 1_000 >= STORE_STALL_MS)
      reasons.push(`The sink has not stored a batch for ${stalledS} s.`);
    return reasons;
  }

  /** What somebody should check although batches are stored. */
  #warnings(): string[] {
    const reasons = this.sinkRisks().map((risk) => `The sink puts events at risk: ${risk}`);
    reasons.push(...this.#ignoredIds());
    const { openCount = 0, maxCount = Number.POSITIVE_INFINITY } = this.connections ?? {};
    if (openCount >= maxCount)
      reasons.push(`All ${maxCount} connections are in use: new ones replace the slowest (max_connections).`);
    if (this.reloadFailure !== undefined)
      reasons.push(
        `The last reload failed, and the old configuration is still in use: ${this.reloadFailure}`,
      );
    return reasons;
  }

  /** @internal When to send a batch again that the sink did not store, in seconds. */
  get retryAfterS(): number {
    return Math.min(2 ** Math.max(0, this.storeFailures - 1), MAX_RETRY_AFTER_S);
  }

  /** @internal Counts a batch that is about to be stored. @param bytes the size of its body */
  enter(keyName: string, bytes: number): void {
    this.#count(keyName, 1, bytes);
  }

  /** @internal Ends what {@link enter} began. */
  leave(keyName: string, bytes: number): void {
    this.#count(keyName, -1, -bytes);
    this.#notifyIfIdle();
  }

  /** @internal Ends the reading of a request. */
  endReading(): void {
    this.readingRequests--;
    this.#notifyIfIdle();
  }

  /** @internal Counts a request whose `Event-Ids` are ignored. Unsigned ids of an old publisher need no attention. */
  ignoreIds(keyName: string, reason: IgnoredIdsReason): void {
    this.ignoredIds[reason]++;
    if (reason !== "unsigned") this.#lastIgnored = { atMs: Date.now(), keyName, reason };
  }

  /** @internal The counts of a key, to be changed. */
  countsOf(keyName: string): KeyCounts {
    let counts = this.keys.get(keyName);
    if (counts === undefined) {
      counts = { stored: 0, duplicates: 0, rejected: 0, bytes: 0, pendingRequests: 0, pendingBytes: 0 };
      this.keys.set(keyName, counts);
    }
    return counts;
  }

  /** @internal Runs a store, and counts its time and failure. @throws what it throws */
  async measureStore<T>(store: () => Promise<T>): Promise<T> {
    const running = { startedAtMs: performance.now() };
    this.#stores.add(running);
    try {
      const stored = await store();
      this.storeFailures = 0;
      this.lastStoredAtMs = Date.now();
      return stored;
    } catch (error) {
      this.storeFailures++;
      this.lastFailure = {
        atMs: Date.now(),
        message: error instanceof Error ? error.message : String(error),
      };
      throw error;
    } finally {
      this.#stores.delete(running);
      this.storeSeconds.observe((performance.now() - running.startedAtMs) / 1_000);
    }
  }

  #ignoredIds(): string[] {
    if (this.#lastIgnored === undefined) return [];
    const { atMs, keyName, reason } = this.#lastIgnored;
    if (Date.now() - atMs > IGNORED_IDS_MS) return [];
    return [
      `The Event-Ids of key ${keyName} are ignored, so its duplicates are stored: ${IGNORED_IDS_REASONS[reason]}.`,
    ];
  }

  #count(keyName: string, requests: number, bytes: number): void {
    for (const counts of [this, this.countsOf(keyName)]) {
      counts.pendingRequests += requests;
      counts.pendingBytes += bytes;
    }
  }

  /** Waits a turn: a request that was read is stored next. */
  #notifyIfIdle(): void {
    if (this.#whenIdle.length === 0) return;
    setTimeout(() => {
      if (this.pendingRequests + this.readingRequests > 0) return;
      for (const resolve of this.#whenIdle.splice(0)) resolve();
    });
  }

  #longestStoreMs(): number {
    const [oldest] = this.#stores;
    return oldest === undefined ? 0 : performance.now() - oldest.startedAtMs;
  }
}
