/** The publisher: sends the events of a queue file to a destination. */
import { clearInterval, setInterval } from "node:timers";
import { setImmediate } from "node:timers/promises";
import type { PublisherConfig } from "../config/publisher_config.ts";
import { StatsdClient } from "../metrics/statsd.ts";
import { checkOptions, FUNCTION, OBJECT, type OptionKinds, oneOf } from "../options.ts";
import { Ballast } from "../storage/ballast.ts";
import { DeadLetterTable } from "../storage/dead_letters.ts";
import { type ClaimState, type Lease, LeaseTable } from "../storage/leases.ts";
import { exposuresOf } from "../storage/locations.ts";
import { PRESENCE_EVERY_MS, Presence } from "../storage/presence.ts";
import { DRIVER_NAMES, useDriver } from "../storage/sqlite/driver.ts";
import type { DriverName } from "../storage/sqlite/sqlite.ts";
import { Checkpoints, DurableEvents, WalWatcher } from "../storage/wal.ts";
import { VERSION } from "../version.ts";
import { Batcher, BatchSize } from "./batcher.ts";
import { StorageBreaker } from "./circuit_breaker.ts";
import { PublisherCounts } from "./counts.ts";
import { DeadLetters } from "./dead_letters.ts";
import { Deliveries, Settler } from "./delivery.ts";
import { DeliveryPolicy } from "./delivery_policy.ts";
import type { Destination } from "./destinations/destination.ts";
import { openDestination } from "./destinations/open_destination.ts";
import { healthOf, type PublisherMetrics, type PublisherProblem, type PublisherStatus } from "./health.ts";
import { type PublisherHooks, watchHealth } from "./hooks.ts";
import * as log from "./log.ts";
import { Maintenance } from "./maintenance.ts";
import { type OpenQueue, openQueue } from "./open_queue.ts";
import { DEAD_LETTER_MEMORY_MS, PoisonGuard } from "./poison_guard.ts";
import { Sender } from "./sender.ts";
import type { PublishTracing } from "./tracing.ts";
import { type TransformOptions, withTransform } from "./transform.ts";
import { TIMINGS, type Timings, WakeableSleep } from "./waiting.ts";

/**
 * How long a commit without an event keeps the watch off, in milliseconds: a service writes to its own database for
 * other reasons too. To wake up for each of 1,000 commits a second took 14 % of a CPU; with this it takes 6 %.
 */
const OTHER_COMMIT_MS = 20;

/** How long to leave the file to others between two chunks of a trim, in milliseconds. */
const TRIM_PAUSE_MS = 1;

/** How often a batch that waits for more events is checked, in milliseconds: it may be full before it is due. */
const FILL_CHECK_MS = 50;

/**
 * Sends the events of a queue file to a collector, at least once, and removes each event once the collector has
 * accepted it. Several publishers, in several processes, may share a queue.
 *
 * @example
 * ```ts
 * await using publisher = new Publisher(loadPublisherConfig("config.ini"));
 * await publisher.run({ signal });
 * ```
 */
export class Publisher implements AsyncDisposable {
  /** The queue's name. */
  readonly queue: string;
  /** The queue's file. */
  readonly file: string;
  /** The subscription that it publishes. */
  readonly subscription: string;
  /** The subscription's dead letters: list, retry or purge them. */
  readonly deadLetters: DeadLetters;
  readonly #config: PublisherConfig;
  readonly #hooks: PublisherHooks;
  readonly #timings: Timings;
  readonly #destination: Destination;
  readonly #queue: OpenQueue;
  readonly #leases: LeaseTable;
  readonly #storage: StorageBreaker;
  readonly #maintenance: Maintenance;
  readonly #batchSize: BatchSize;
  readonly #batcher: Batcher;
  readonly #sender: Sender;
  readonly #policy: DeliveryPolicy;
  readonly #deliveries: Deliveries;
  readonly #watch: WalWatcher;
  readonly #counts = new PublisherCounts();
  readonly #sleep = new WakeableSleep();
  readonly #stop = new AbortController();
  /** With one batch in flight events keep their order, so those that a dead publisher had claimed are sent first. */
  readonly #keepsOrder: boolean;
  readonly #presence: Presence | undefined;
  /** Since when the queue is paused, as last seen, in Unix milliseconds; undefined: it is not. */
  #pausedAtMs: number | undefined;
  #claimedAtMs = performance.now();
  #running: Promise<void> | undefined;
  #reloadProblem: string | undefined;

  /**
   * Opens the queue file, and creates it if it does not exist. {@link run} starts publishing.
   *
   * @throws {ConfigurationError} the queue name or an option is not valid, or the queue's events are written for another
   * version
   * @throws {EventStorageError} the directory or the file cannot be used, or the file is not a queue; with a service's
   * database: it does not exist, or has no outbox
   */
  constructor(config: PublisherConfig, options?: PublisherOptions);
  /** @internal */
  constructor(config: PublisherConfig, options: PublisherOptions, timings: Partial<Timings>);
  constructor(config: PublisherConfig, options: PublisherOptions = {}, timings: Partial<Timings> = {}) {
    checkOptions(options, OPTION_KINDS);
    if (options.driver !== undefined) useDriver(options.driver);
    const counts = this.#counts;
    this.#config = config;
    this.#hooks = options;
    this.#timings = { ...TIMINGS, ...timings };
    this.#destination = withTransform(options.destination ?? openDestination(config), {
      ...options,
      dropFields: config.dropFields,
      counts,
    });
    this.#queue = openQueue(config, {
      destinationUrl: this.#destination.url,
      isDestinationGiven: options.destination !== undefined,
    });
    const { file, events } = this.#queue;
    this.queue = config.queueName;
    this.file = file.path;
    this.subscription = config.subscription.name;
    this.deadLetters = new DeadLetters(this.#queue, this.subscription, this.#sleep);
    this.#presence = file.isOutbox
      ? undefined
      : new Presence(file.path, config.subscription.name, config.fileMode);
    const leaseMs = this.#destination.timeoutMs + this.#timings.leaseMarginMs;
    const subscription = config.subscription.name;
    this.#leases = new LeaseTable(file, leaseMs, { ...config.deadLetters, subscription });

    const disk = {
      file,
      ballast: new Ballast(file.path, config.ballastBytes),
      checkpoints: new Checkpoints(file),
    };
    this.#storage = new StorageBreaker({ ...disk, counts });
    this.#maintenance = new Maintenance({ ...disk, storage: this.#storage, timings: this.#timings });
    this.#watch = new WalWatcher(file.path, () => {
      this.#sleep.wake();
      this.#maintenance.written();
    });

    this.#batchSize = new BatchSize(config.batch.maxBytes);
    this.#batcher = new Batcher(this.#leases, {
      ...config.batch,
      emptyBytes: this.#destination.emptyBatchBytes,
      eventOverheadBytes: this.#destination.eventOverheadBytes,
      size: this.#batchSize,
    });
    this.#sender = new Sender({
      leases: this.#leases,
      queue: this.queue,
      destination: this.#destination,
      leaseMs,
      metrics: new StatsdClient(config.metrics),
      durable: new DurableEvents(file.path, events),
      counts,
      tracing: options.openTelemetry,
    });
    const recentCount = new DeadLetterTable(file, { subscription }).countSince(
      Date.now() - DEAD_LETTER_MEMORY_MS,
    );
    this.#policy = new DeliveryPolicy({
      batchSize: this.#batchSize,
      poisonGuard: new PoisonGuard(config.deadLetters.maxShare, recentCount),
      maxConcurrency: config.concurrency,
      maxBackoffMs: this.#timings.backoffMaxMs,
      counts,
    });
    this.#deliveries = new Deliveries({
      sender: this.#sender,
      policy: this.#policy,
      settler: new Settler({ leases: this.#leases, storage: this.#storage, counts }),
      maintenance: this.#maintenance,
      storage: this.#storage,
      counts,
      sleep: this.#sleep,
      queue: this.queue,
      subscription,
      hooks: this.#hooks,
    });
    this.#keepsOrder = config.concurrency === 1;
  }

  /**
   * Publishes until `signal` aborts. Then it claims nothing more, gives batches in flight the grace time to finish,
   * releases those that do not, and resolves. It never rejects because the collector or the queue file fails: it waits
   * and retries.
   */
  run({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const stop = (): void => this.#stop.abort();
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    this.#running ??= this.#run();
    const forget = (): void => signal?.removeEventListener("abort", stop); // it may outlive many publishers
    this.#running.then(forget, forget);
    return this.#running;
  }

  /**
   * Reports in health and metrics that a new configuration cannot be used.
   *
   * @param problem what is wrong with it, without a secret; undefined: nothing is wrong
   */
  setReloadProblem(problem: string | undefined): void {
    this.#reloadProblem = problem;
  }

  /** Aborts when the publisher must stop. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The current state of the publisher and its queue. @throws {EventStorageError} the queue file cannot be read */
  status(): PublisherStatus {
    return { ...this.#now(), state: this.#queue.events.state() };
  }

  /** Its counts since the start, and all else that it knows without reading the queue file. */
  metrics(): PublisherMetrics {
    return {
      ...this.#now(),
      version: VERSION,
      counts: this.#counts,
      concurrencyLimit: this.#policy.concurrency.count,
      maxConcurrency: this.#config.concurrency,
      isHeld: this.#policy.isHeld,
      maxBatchBytes: this.#batchSize.bytes(),
      ...this.#queue.file.sizes(),
    };
  }

  #now(): Omit<PublisherStatus, "state"> {
    const stats = this.#policy.stats();
    return {
      ...stats,
      queue: this.queue,
      subscription: this.subscription,
      isRunning: this.#running !== undefined && !this.#stop.signal.aborted,
      inFlight: this.#deliveries.inFlight.size,
      retries: this.#counts.claims.again,
      consecutiveStorageFailures: this.#storage.failures,
      lastProblem: newer(stats.lastProblem, this.#storage.lastProblem),
      destinationRisks: this.#destination.risks ?? [],
      reloadProblem: this.#reloadProblem,
      pausedAtMs: this.#pausedAtMs,
    };
  }

  /** Stops as an aborted signal does, and closes the queue file and the destination. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#sender.close();
    this.#queue.file.close();
  }

  async #run(): Promise<void> {
    this.#logStart();
    this.#stop.signal.addEventListener("abort", this.#sleep.wake, { once: true });
    watchHealth(this.#hooks, {
      status: () => this.status(),
      stop: this.#stop.signal,
      everyMs: this.#timings.healthMs,
    });
    this.#show();
    const shown = setInterval(() => this.#show(), PRESENCE_EVERY_MS);
    const maintained = this.#maintenance.run(this.#stop.signal);
    this.#destination.checkRisks?.().catch(() => {}); // a destination that is down is checked once it is back
    while (!this.#stop.signal.aborted) {
      const waitMs = this.#tryStep();
      if (waitMs > 0) await this.#sleep.sleep(waitMs);
      else await setImmediate();
    }
    this.#watch.disarm();
    await this.#deliveries.drain(this.#config.graceMs);
    await maintained;
    clearInterval(shown);
    this.#presence?.end();
    try {
      log.logStopped({ delivered: this.#policy.stats().delivered, depth: this.#queue.events.depth() });
    } catch (error) {
      this.#storage.failed(error); // the stop itself has not failed
    }
  }

  #logStart(): void {
    log.logStarted({ queue: this.queue, file: this.file, url: this.#destination.url });
    const { file } = this.#queue;
    if (file.hasMoved) log.logMoved(this.file);
    if (file.isOutbox) return; // the service decides the mode of its database
    for (const { problem, advice } of exposuresOf(this.file)) log.logExposed(problem, advice);
  }

  /** One step, unless the queue file fails (a full disk, a lost lock). Returns how long to wait, in milliseconds. */
  #tryStep(): number {
    this.#maintenance.isIdle = false;
    const openForMs = this.#storage.openForMs();
    if (openForMs > 0) return openForMs;
    try {
      this.#storage.probe();
      const waitMs = this.#step();
      this.#storage.succeeded();
      return waitMs;
    } catch (error) {
      return this.#storage.failed(error);
    }
  }

  /** Claims a lease and starts its delivery. Returns how long to wait before the next step, in milliseconds. */
  #step(): number {
    const state = this.#leases.state();
    this.#notePause(state);
    if (this.#pausedAtMs !== undefined) return this.#timings.pollMs;
    const openForMs = this.#policy.breaker.openForMs();
    if (openForMs > 0) return openForMs;
    if (!this.#deliveries.hasRoom) return Number.POSITIVE_INFINITY; // a delivery wakes us when it ends
    this.#batcher.refresh(undefined, state);
    const lease = this.#claim(state);
    if (lease === undefined) return this.#waitMs(state);
    this.#claimedAtMs = performance.now();
    this.#endIdling();
    this.#deliveries.start(lease);
    return this.#restMs(state);
  }

  /** Claims what comes first: a lease that was released or has expired, a batch that is due, a replay. */
  #claim(state: ClaimState): Lease | undefined {
    const isDue = this.#batchDueInMs() === 0;
    if (!isDue && state.expiredCount === 0 && state.replayNextId === null) return undefined; // most often
    this.#maintenance.beforeClaim();
    // While the queue is held, new events go first: only an accepted event ends that, and those in leases may all be
    // at fault.
    if (this.#policy.isHeld && !this.#keepsOrder && isDue) return this.#batcher.claim();
    // One of our own leases may seem expired, after a clock jump or a pause of this process: its delivery decides.
    const reclaimed =
      state.expiredCount === 0
        ? undefined
        : this.#batcher.reclaim({
            except: this.#deliveries.inFlight,
            oldestOnly: this.#keepsOrder,
            fairly: this.#policy.isHeld,
          });
    if (reclaimed !== undefined) return reclaimed;
    // If another publisher has claimed since, the cursor has moved, and our claim fails.
    if (this.#mustWaitForLeases(state)) return undefined;
    if (isDue) return this.#batcher.claim();
    return state.replayNextId === null ? undefined : this.#batcher.claimReplay();
  }

  /** How long to wait after a claim, in milliseconds. */
  #restMs({ expiredCount, replayNextId }: ClaimState): number {
    if (expiredCount > 0 || replayNextId !== null) return 0;
    return Math.min(this.#batcher.restMs, FILL_CHECK_MS);
  }

  /** How long to wait when there was nothing to claim, in milliseconds. */
  #waitMs(state: ClaimState): number {
    if (this.#mustWaitForLeases(state)) return this.#timings.pollMs;
    const dueInMs = this.#batchDueInMs();
    if (dueInMs === Number.POSITIVE_INFINITY) return this.#idle();
    this.#endIdling();
    return Math.min(dueInMs, FILL_CHECK_MS);
  }

  /** To keep the order, nothing is claimed while another publisher has a lease. */
  #mustWaitForLeases({ leaseCount }: ClaimState): boolean {
    return this.#keepsOrder && leaseCount > 0;
  }

  /** Logs a pause and its end once. */
  #notePause({ pausedAtMs }: ClaimState): void {
    const sinceMs = pausedAtMs ?? undefined;
    if (sinceMs !== undefined && this.#pausedAtMs === undefined) log.logPaused();
    if (sinceMs === undefined && this.#pausedAtMs !== undefined)
      log.logResumed(Date.now() - this.#pausedAtMs);
    this.#pausedAtMs = sinceMs;
  }

  /** Shows the health of this publisher to other processes. */
  #show(): void {
    if (this.#presence === undefined) return;
    try {
      const status = this.status();
      const { delivered, lastSuccessAtMs } = status;
      this.#presence.show({ ...healthOf(status), delivered, lastSuccessAtMs });
    } catch {
      this.#presence.show({ health: "failing", reasons: ["the queue file cannot be read"], delivered: 0 });
    }
  }

  #batchDueInMs(): number {
    return this.#batcher.dueInMs(this.#deliveries.inFlight.size > 0);
  }

  #idle(): number {
    const { file } = this.#queue;
    file.checkPlace(); // only when idle, so that the events of a removed file are still delivered
    const quietForMs = this.#watch.quietForMs();
    if (file.isOutbox && quietForMs < OTHER_COMMIT_MS) {
      this.#watch.disarm();
      return Math.max(1, quietForMs);
    }
    if (this.#watch.arm()) return 0;
    const idle = {
      unclaimedForMs: performance.now() - this.#claimedAtMs,
      unwrittenForMs: this.#watch.quietForMs(),
    };
    const hasMore = this.#deliveries.inFlight.size === 0 && this.#maintenance.onIdle(idle);
    this.#maintenance.isIdle = this.#watch.isArmed;
    if (hasMore) return TRIM_PAUSE_MS;
    return Math.min(this.#timings.pollMs, Math.max(1, this.#watch.quietForMs()));
  }

  #endIdling(): void {
    this.#watch.disarm();
    this.#maintenance.written();
  }
}

/** The later of two problems. */
function newer(
  one: PublisherProblem | undefined,
  other: PublisherProblem | undefined,
): PublisherProblem | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.atMs > other.atMs ? one : other;
}

/** Options of a {@link Publisher}, in addition to its configuration. */
export interface PublisherOptions extends PublisherHooks, TransformOptions {
  /** The SQLite library of this process, as the `driver` of an EventQueue: that of the service, for its own outbox. */
  readonly driver?: DriverName | undefined;
  /** Where events are sent. It is closed with the publisher. Default: the `destination` of the configuration. */
  readonly destination?: Destination | undefined;
  /**
   * The package `@opentelemetry/api`, as in `import * as openTelemetry from "@opentelemetry/api"`. Each request becomes a
   * span `eventspool publish`, with at most 128 links to the spans that put its events, if the queue has this option
   * too. Default: no tracing.
   */
  readonly openTelemetry?: PublishTracing | undefined;
}

const OPTION_KINDS: OptionKinds<PublisherOptions> = {
  driver: oneOf(...DRIVER_NAMES),
  destination: OBJECT,
  openTelemetry: OBJECT,
  transform: FUNCTION,
  onDelivered: FUNCTION,
  onDeadLetter: FUNCTION,
  onHealthChange: FUNCTION,
};
