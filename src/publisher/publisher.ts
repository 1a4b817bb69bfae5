/**
 * The publisher: takes events from a queue file to a destination.
 *
 * @module
 */
import { setImmediate } from "node:timers/promises";
import type { PublisherConfig } from "../config/publisher_config.ts";
import { ConfigurationError } from "../errors.ts";
import { PublisherCounts } from "../metrics/publisher_counts.ts";
import { StatsdClient } from "../metrics/statsd.ts";
import { checkOptions, OBJECT, type OptionKinds } from "../options.ts";
import { Ballast } from "../storage/ballast.ts";
import { DeadLetterTable } from "../storage/dead_letters.ts";
import { EventTable } from "../storage/events.ts";
import { type Lease, LeaseTable } from "../storage/leases.ts";
import { exposuresOf, locateQueueFile } from "../storage/locations.ts";
import { DEFAULT_BUSY_TIMEOUT_MS } from "../storage/lock_wait.ts";
import { QueueFile } from "../storage/queue_file.ts";
import { isDiskFull } from "../storage/storage_error.ts";
import { DurableHead } from "../storage/wal_sync.ts";
import { WalWatcher } from "../storage/wal_watcher.ts";
import { VERSION } from "../version.ts";
import { Batcher, BatchSize } from "./batcher.ts";
import { DeadLetters } from "./dead_letters.ts";
import { Deliveries } from "./delivery.ts";
import type { Destination } from "./destinations/destination.ts";
import { openDestination } from "./destinations/open_destination.ts";
import type { PublisherMetrics, PublisherStatus } from "./health.ts";
import * as log from "./log.ts";
import { Maintenance } from "./maintenance.ts";
import { PoisonGuard } from "./poison_guard.ts";
import { Sender } from "./sender.ts";
import type { PublishTracing } from "./trace_links.ts";
import { waits } from "./waits.ts";
import { WakeableSleep } from "./wakeable_sleep.ts";

/** How long ago dead letters count for a publisher that starts, in milliseconds: ten minutes. */
const DEAD_LETTER_MEMORY_MS = 600_000;

/**
 * A service's database is written to without an event, too. How long such a commit keeps the watch off, in
 * milliseconds: to wake up for each of 1,000 a second took 14 % of a CPU, and so it is 6.
 */
const OTHER_COMMIT_MS = 20;

/** How often a batch that waits for more events is looked at, in milliseconds: is it full before it is due? */
const GATHER_MS = 25;

/**
 * Takes events from a queue file to a collector, at least once, and removes them when the collector
 * has accepted them. Several publishers, in as many processes, may share one queue.
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
  /** The queue's dead letters, to look at, retry or purge. */
  readonly deadLetters: DeadLetters;
  readonly #config: PublisherConfig;
  readonly #destination: Destination;
  readonly #queueFile: QueueFile;
  readonly #events: EventTable;
  readonly #leases: LeaseTable;
  readonly #maintenance: Maintenance;
  readonly #batcher: Batcher;
  readonly #deliveries: Deliveries;
  readonly #metrics: StatsdClient;
  readonly #durable: DurableHead;
  readonly #batchSize: BatchSize;
  readonly #counts = new PublisherCounts();
  /** With one lane, events go in order: what a publisher that died had claimed goes before what came later. */
  readonly #keepsOrder: boolean;
  readonly #sleeper = new WakeableSleep();
  readonly #watch: WalWatcher;
  readonly #stop = new AbortController();
  #claimedAtMs = performance.now();
  /** Whether the last step found nothing to do, and the watch will tell of the next put. */
  #isIdle = false;
  #running: Promise<void> | undefined;
  #reloadProblem: string | undefined;

  /**
   * Opens the queue's file, and makes it if it is not there. Nothing is sent before {@link run}.
   *
   * @throws {ConfigurationError} the queue's name is not valid
   * @throws {EventStorageError} the directory or the file cannot be used, or the file is not a queue; of a service's
   * database: it is not there, or has no outbox
   */
  constructor(config: PublisherConfig, options: PublisherOptions = {}) {
    checkOptions(options, OPTION_KINDS);
    const { destination, openTelemetry } = options;
    const { batch, deadLetters, metrics } = config;
    this.queue = config.queueName;
    this.file = config.file ?? locateQueueFile(config.queueName, config.directory);
    this.#config = config;
    this.#destination = destination ?? openDestination(config);
    this.#queueFile = openFile(this.file, config);
    this.#events = new EventTable(this.#queueFile);
    if (destination === undefined) checkBatchVersion(config, this.#events);
    if (config.maxQueueSize !== undefined) this.#setMaxEvents(config.maxQueueSize);
    this.deadLetters = new DeadLetters(this.#queueFile, this.#events, this.#sleeper.wake);
    this.#leases = new LeaseTable(
      this.#queueFile,
      this.#destination.timeoutMs + waits.leaseMarginMs,
      deadLetters,
    );
    this.#maintenance = new Maintenance({
      file: this.#queueFile,
      ballastBytes: config.ballastBytes,
      isIdle: () => this.#isIdle,
      onFailure: (error) => this.#deliveries.storageFailed(error),
    });
    this.#batchSize = new BatchSize(batch.maxBytes);
    const limits = { ...batch, emptyBytes: this.#destination.emptyBatchBytes, size: this.#batchSize };
    this.#batcher = new Batcher(this.#leases, limits);
    this.#metrics = new StatsdClient(metrics);
    this.#durable = new DurableHead(this.file, this.#events);
    const sender = new Sender({
      leases: this.#leases,
      queue: this.queue,
      destination: this.#destination,
      metrics: this.#metrics,
      durable: this.#durable,
      counts: this.#counts,
      tracing: openTelemetry,
    });
    this.#deliveries = new Deliveries({
      leases: this.#leases,
      onSettled: () => this.#maintenance.keepUp(),
      freeSpace: (error) => this.#maintenance.freeSpace(error),
      sender,
      batchSize: this.#batchSize,
      budget: new PoisonGuard(deadLetters.maxShare, countRecent(this.#queueFile)),
      concurrency: config.concurrency,
      onEnd: this.#sleeper.wake,
      counts: this.#counts,
    });
    this.#keepsOrder = config.concurrency === 1;
    this.#watch = new WalWatcher(this.file, () => {
      this.#sleeper.wake();
      this.#maintenance.written();
    });
  }

  /**
   * Publishes until `signal` aborts. Then nothing more is claimed, batches in flight have the grace
   * time to finish, those that do not are given back, and it resolves. A failing collector or queue
   * file never makes it reject: it waits and tries again.
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
   * Notes whether a configuration that was to replace this one cannot be used, for its health and metrics.
   *
   * @param problem what is wrong with it, without a secret; undefined: nothing
   */
  noteReload(problem: string | undefined): void {
    this.#reloadProblem = problem;
  }

  /** Aborts when the publisher is told to stop. */
  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  /** How the publisher and its queue are now. */
  status(): PublisherStatus {
    return { ...this.#now(), state: this.#events.state() };
  }

  /** What it has counted since it started, and what else it can tell without reading the queue's file. */
  metrics(): PublisherMetrics {
    return {
      ...this.#now(),
      version: VERSION,
      counts: this.#counts,
      lanes: this.#deliveries.laneCount,
      maxLanes: this.#config.concurrency,
      isHeld: this.#deliveries.isHeld,
      maxBatchBytes: this.#batchSize.bytes(),
      ...this.#queueFile.sizes(),
    };
  }

  #now(): Omit<PublisherStatus, "state"> {
    const isRunning = this.#running !== undefined && !this.#stop.signal.aborted;
    const { risks: destinationRisks = [] } = this.#destination;
    return {
      queue: this.queue,
      isRunning,
      destinationRisks,
      reloadProblem: this.#reloadProblem,
      ...this.#deliveries.figures(),
    };
  }

  #setMaxEvents(maxEvents: number): void {
    try {
      this.#events.setMaxEvents(maxEvents);
    } catch (error) {
      this.#queueFile.close(); // nobody else can: the constructor throws
      throw error;
    }
  }

  /** Stops as an aborted signal would, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#metrics.close();
    await this.#durable.close();
    await this.#destination.close();
    this.#queueFile.close();
  }

  async #run(): Promise<void> {
    log.logStarted({ queue: this.queue, file: this.file, url: this.#destination.url });
    if (this.#queueFile.hasMoved) log.logMoved(this.file);
    if (!this.#queueFile.isOutbox)
      // the mode of its database is the service's decision
      for (const { problem, advice } of exposuresOf(this.file)) log.logExposed(problem, advice);
    this.#stop.signal.addEventListener("abort", this.#sleeper.wake, { once: true });
    const keeping = this.#maintenance.run(this.#stop.signal);
    this.#destination.checkRisks?.().catch(() => {}); // a destination that is away now is asked when it is back
    while (!this.#stop.signal.aborted) {
      const waitMs = this.#tryStep();
      if (waitMs > 0) await this.#sleeper.sleep(waitMs);
      else await setImmediate();
    }
    this.#watch.disarm();
    await this.#deliveries.drain(this.#config.graceMs);
    await keeping;
    try {
      log.logStopped({ delivered: this.#deliveries.figures().delivered, depth: this.#events.depth() });
    } catch (error) {
      this.#deliveries.storageFailed(error); // whoever waits for the end is not to hear of the file
    }
  }

  /** Starts what may start now, one batch at most. Returns how long nothing else can, in milliseconds. */
  #step(): number {
    const shutForMs = this.#deliveries.collectorBreaker.shutForMs();
    if (shutForMs > 0) return shutForMs;
    if (!this.#deliveries.hasRoom) return Number.POSITIVE_INFINITY; // a delivery that ends wakes us
    this.#maintenance.keepUp();
    // New events first, while the queue is held: only one that the collector takes ends that, and those in
    // leases may all be at fault.
    if (this.#deliveries.isHeld && !this.#keepsOrder && this.#lookIsDue())
      return this.#start(this.#batcher.claim());
    // A lease of ours may look lost, when the clock jumps or this process was stopped: its answer decides.
    const reclaimed = this.#batcher.reclaim({
      except: this.#deliveries.inFlight,
      oldestOnly: this.#keepsOrder,
      fairly: this.#deliveries.isHeld,
    });
    if (reclaimed !== undefined) return this.#start(reclaimed);

    // Looked at before the leases are counted: whoever claims in between moves the cursor, and we claim nothing.
    this.#batcher.look();
    if (this.#keepsOrder && this.#leases.count() > 0) return waits.pollMs;
    const dueInMs = this.#batcher.dueInMs(this.#isBusy);
    if (dueInMs === 0) return this.#start(this.#batcher.claim());
    if (dueInMs === Number.POSITIVE_INFINITY) return this.#idle();
    this.#endIdling();
    return Math.min(dueInMs, GATHER_MS);
  }

  get #isBusy(): boolean {
    return this.#deliveries.inFlight.size > 0;
  }

  #lookIsDue(): boolean {
    this.#batcher.look();
    return this.#batcher.dueInMs(this.#isBusy) === 0;
  }

  #idle(): number {
    this.#queueFile.checkPlace(); // only here, so that what a removed file holds is still delivered
    const quietForMs = this.#watch.quietForMs();
    if (this.#queueFile.isOutbox && quietForMs < OTHER_COMMIT_MS) {
      this.#watch.disarm();
      return Math.max(1, quietForMs);
    }
    if (this.#watch.arm()) return 0;
    const idleForMs = Math.min(this.#watch.quietForMs(), performance.now() - this.#claimedAtMs);
    if (this.#deliveries.inFlight.size === 0) this.#maintenance.onIdle(idleForMs);
    this.#isIdle = this.#watch.isArmed;
    return Math.min(waits.pollMs, Math.max(1, this.#watch.quietForMs()));
  }

  #endIdling(): void {
    this.#watch.disarm();
    this.#maintenance.written();
  }

  #start(lease: Lease | undefined): number {
    if (lease !== undefined) {
      this.#claimedAtMs = performance.now();
      this.#endIdling();
      this.#deliveries.start(lease);
    }
    return 0;
  }

  /** A queue file that fails (a full disk, a stolen lock) is tried again after a while, like a collector. */
  #tryStep(): number {
    this.#isIdle = false;
    const shutForMs = this.#deliveries.storageBreaker.shutForMs();
    if (shutForMs > 0) return shutForMs;
    try {
      if (this.#deliveries.storageBreaker.failures > 0) this.#queueFile.checkWritable(); // a step may only read
      const waitMs = this.#step();
      this.#deliveries.storageBreaker.succeeded();
      return waitMs;
    } catch (error) {
      return this.#deliveries.storageFailed(error);
    }
  }
}

/** The dead letters of a publisher that ran a short while ago. */
function countRecent(file: QueueFile): number {
  return new DeadLetterTable(file).countSince(Date.now() - DEAD_LETTER_MEMORY_MS);
}

/**
 * Opens a queue's own file, or the service's database that the configuration names; on a full disk in the place of
 * the ballast that an earlier publisher has left there.
 *
 * @throws {EventStorageError} it cannot be used, or is not a queue
 */
function openFile(path: string, config: PublisherConfig): QueueFile {
  const { file, fileMode, ballastBytes, allowNetworkFileSystem } = config;
  const busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS;
  const open = () =>
    file === undefined
      ? QueueFile.open(path, {
          role: "publisher",
          durability: "process",
          busyTimeoutMs,
          fileMode,
          allowNetworkFileSystem,
        })
      : QueueFile.openOutbox(path, { busyTimeoutMs });
  try {
    return open();
  } catch (error) {
    if (!isDiskFull(error) || !new Ballast(path, ballastBytes).release()) throw error;
    return open();
  }
}

/** What a publisher is given besides its configuration. */
export interface PublisherOptions {
  /** Where events are taken. Default: as the configuration's `destination` says. It is closed with the publisher. */
  readonly destination?: Destination | undefined;
  /**
   * The package `@opentelemetry/api`, as in `import * as openTelemetry from "@opentelemetry/api"`. Then each request is a
   * span, `eventspool publish`, with links to the spans that put its events, if the queue had this option too:
   * 128 of them at most. Default: none.
   */
  readonly openTelemetry?: PublishTracing | undefined;
}

const OPTION_KINDS: OptionKinds<PublisherOptions> = { destination: OBJECT, openTelemetry: OBJECT };

/**
 * Rejects a configuration that sends events as another version than their serializer has written them for: the collector
 * would reject each of them.
 *
 * @throws {ConfigurationError}
 */
export function checkBatchVersion({ destination, queueName }: PublisherConfig, events: EventTable): void {
  const written = events.batchVersion();
  if (destination.kind !== "collector" || written === undefined || written === destination.version) return;
  const problem = `is ${destination.version}, and the events of this queue are written for version ${written}: set collector.version = ${written}, or use another serializer.`;
  throw new ConfigurationError(problem, {
    section: `event-publisher:${queueName}`,
    key: "collector.version",
  });
}
