/**
 * How a collector is, and what it has done.
 *
 * @module
 */
import { Histogram } from "../metrics/family.ts";
import type { ConnectionStats } from "../server/connections.ts";
import type { AdmissionLimits } from "./admission.ts";

/** How long a sink may take for a batch until the collector counts as failing, in milliseconds. */
const STORE_STALL_MS = 30_000;

/** For how long after a failure of its sink a collector says that it is not ready, in milliseconds; then it is tried again. */
const NOT_READY_MS = 10_000;

/** The longest `Retry-After` that a collector asks for, in seconds: its sink may be well again before. */
const MAX_RETRY_AFTER_S = 32;

/** Seconds of a store: from a file in memory, over a disk's sync, to a cluster in trouble. */
const STORE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Events of a request. */
const EVENTS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/** For how long health tells that `Event-Ids` were ignored, in milliseconds: five minutes. */
const IGNORED_IDS_MS = 300_000;

/** What came of a request. */
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

/** Why `Event-Ids` are ignored: they do not name the events, or their signature is missing, wrong, or too old or new. */
export type IgnoredIdsReason = "malformed" | "unsigned" | "bad_mac" | "clock";

/** These reasons, for people. */
export const IGNORED_IDS_REASONS: Readonly<Record<IgnoredIdsReason, string>> = {
  malformed: "they do not name the events one by one",
  unsigned: "there is no Event-Ids-Signature",
  bad_mac: "Event-Ids-Signature is not that of these ids, this body and this key",
  clock: "the time in Event-Ids-Signature is more than five minutes from the collector's clock",
};

/** What was done with the events of one key. */
export interface KeyCounts {
  stored: number;
  duplicates: number;
  rejected: number;
  /** Bodies, decompressed. */
  bytes: number;
  /** Requests being stored, and their bodies, decompressed. */
  pendingRequests: number;
  pendingBytes: number;
}

/** A failure of the sink. */
export interface StoreFailure {
  readonly atMs: number;
  readonly message: string;
}

/** How a collector is, in a word and in sentences. */
export interface CollectorHealth {
  /** `degraded`: it keeps batches, and someone should look at it soon. */
  readonly status: "ok" | "degraded" | "failing";
  /** What someone must look at; empty when it is ok. */
  readonly reasons: readonly string[];
}

/** What a collector tells {@link collectorAdmin} of itself. Make one and give it to both. */
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
  /** @internal By the names of those keys that have signed a batch. */
  readonly keys: Map<string, KeyCounts> = new Map();
  /** @internal */
  readonly storeSeconds: Histogram = new Histogram(STORE_SECONDS);
  /** @internal */
  readonly batchEvents: Histogram = new Histogram(EVENTS);
  /** @internal Requests whose `Event-Ids` could not be used: their events may be stored twice. */
  readonly ignoredIds: Record<IgnoredIdsReason, number> = { malformed: 0, unsigned: 0, bad_mac: 0, clock: 0 };
  /** The last time that it was by a fault that somebody must look at. */
  #lastIgnored:
    | { readonly atMs: number; readonly keyName: string; readonly reason: IgnoredIdsReason }
    | undefined;
  /** @internal Requests being read, and what has arrived of their bodies. Who sent them is not known yet. */
  readingRequests = 0;
  /** @internal */
  readingBytes = 0;
  /** @internal Requests being stored. */
  pendingRequests = 0;
  /** @internal Bodies of such requests, decompressed. */
  pendingBytes = 0;
  /** @internal How many of both there may be. Set by {@link collector}. */
  limits: AdmissionLimits = {
    maxRequests: Number.POSITIVE_INFINITY,
    maxPendingBytes: Number.POSITIVE_INFINITY,
  };
  /** @internal The connections of the server in front, where it counts them. */
  connections: ConnectionStats | undefined;
  /** @internal Why the configuration in use is not the one that was last to be read; undefined: it is. */
  reloadFailure: string | undefined;
  /** @internal Failures of the sink since it last kept a batch. */
  storeFailures = 0;
  /** @internal */
  lastFailure: StoreFailure | undefined;
  /** @internal */
  lastStoredAtMs: number | undefined;
  /** @internal How the sink's own settings can lose events, or repeat them; {@link collector} sets it. */
  sinkRisks: () => readonly string[] = () => [];
  #isStopping = false;
  /** When each store that runs began, by `performance.now()`, in this order. */
  readonly #stores = new Set<{ readonly startedAtMs: number }>();
  /** @internal */
  readonly #whenIdle: (() => void)[] = [];

  /** Has batches answered with 503 from now on, before the server stops. */
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

  /** Whether a load balancer should send batches here: a failed sink is tried again after {@link NOT_READY_MS}. */
  get isReady(): boolean {
    const { lastFailure } = this;
    if (this.#isStopping || this.isSaturated) return false;
    return this.storeFailures === 0 || Date.now() - lastFailure!.atMs > NOT_READY_MS;
  }

  /** Whether there is so much to store that other batches are answered 503. */
  get isSaturated(): boolean {
    const { maxRequests, maxPendingBytes } = this.limits;
    return this.pendingRequests >= maxRequests || this.pendingBytes >= maxPendingBytes;
  }

  /** How it is. */
  health(): CollectorHealth {
    const failing = this.#failures();
    const degraded = this.#troubles();
    const status = failing.length > 0 ? "failing" : degraded.length > 0 ? "degraded" : "ok";
    return { status, reasons: [...failing, ...degraded] };
  }

  /** What keeps it from storing. */
  #failures(): string[] {
    const reasons: string[] = [];
    if (this.#isStopping) reasons.push("It is stopping.");
    if (this.isSaturated)
      reasons.push(
        `It has ${this.pendingRequests} requests with ${this.pendingBytes} bytes to store, as much as it may: others are answered 503.`,
      );
    if (this.storeFailures > 0)
      reasons.push(`The sink has failed ${this.storeFailures} times in a row: ${this.lastFailure?.message}`);
    const stalledS = Math.floor(this.#longestStoreMs() / 1_000);
    if (stalledS * 1_000 >= STORE_STALL_MS) reasons.push(`The sink has not kept a batch for ${stalledS} s.`);
    return reasons;
  }

  /** What someone should look at, though it stores. */
  #troubles(): string[] {
    const reasons = this.sinkRisks().map((risk) => `The sink puts events at risk: ${risk}`);
    reasons.push(...this.#ignoredIds());
    const { openCount = 0, maxCount = Number.POSITIVE_INFINITY } = this.connections ?? {};
    if (openCount >= maxCount)
      reasons.push(
        `All ${maxCount} connections are in use: the slowest are cut for new ones (max_connections).`,
      );
    if (this.reloadFailure !== undefined)
      reasons.push(
        `It goes on with its old configuration, as the new one cannot be used: ${this.reloadFailure}`,
      );
    return reasons;
  }

  /** @internal When those should come back whose batch the sink did not keep, in seconds. */
  get retryAfterS(): number {
    return Math.min(2 ** Math.max(0, this.storeFailures - 1), MAX_RETRY_AFTER_S);
  }

  /** @internal Counts a batch in. @param bytes its body */
  enter(keyName: string, bytes: number): void {
    this.#count(keyName, 1, bytes);
  }

  /** @internal Counts it out. */
  leave(keyName: string, bytes: number): void {
    this.#count(keyName, -1, -bytes);
    this.#tellIfIdle();
  }

  /** @internal Counts a request out whose body was read, or was not to be read on. */
  endReading(): void {
    this.readingRequests--;
    this.#tellIfIdle();
  }

  /** @internal Counts a request whose `Event-Ids` could not be used. An old publisher, which does not sign them, is no fault. */
  ignoreIds(keyName: string, reason: IgnoredIdsReason): void {
    this.ignoredIds[reason]++;
    if (reason !== "unsigned") this.#lastIgnored = { atMs: Date.now(), keyName, reason };
  }

  /** @internal What was done for a key; counts go on from there. */
  of(keyName: string): KeyCounts {
    let counts = this.keys.get(keyName);
    if (counts === undefined) {
      counts = { stored: 0, duplicates: 0, rejected: 0, bytes: 0, pendingRequests: 0, pendingBytes: 0 };
      this.keys.set(keyName, counts);
    }
    return counts;
  }

  /** @internal Watches a store. @throws what it throws */
  async watch<T>(store: () => Promise<T>): Promise<T> {
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
      `Event-Ids of key ${keyName} are ignored, so its duplicates are stored: ${IGNORED_IDS_REASONS[reason]}.`,
    ];
  }

  #count(keyName: string, requests: number, bytes: number): void {
    for (const counts of [this, this.of(keyName)]) {
      counts.pendingRequests += requests;
      counts.pendingBytes += bytes;
    }
  }

  /** A request that was read is stored next: not idle is told once that has begun, or it was answered. */
  #tellIfIdle(): void {
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
