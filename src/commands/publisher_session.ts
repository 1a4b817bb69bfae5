/** A publisher with its admin routes, as the command runs it until it stops or a reload replaces it. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { getLogger } from "@logtape/logtape";
import type { admin } from "../admin/app.ts";
import { fingerprintOf } from "../config/credentials.ts";
import { formatAddress, isLocal, type ListenAddress } from "../config/parsers.ts";
import {
  describePublisherConfig,
  loadPublisherConfig,
  type PublisherConfig,
} from "../config/publisher_config.ts";
import { EventStorageError } from "../errors.ts";
import { loadPackage } from "../load_package.ts";
import { openDestination } from "../publisher/destinations/open_destination.ts";
import type { PublisherHooks } from "../publisher/hooks.ts";
import type { PublishTracing } from "../publisher/mod.ts";
import { checkBatchVersion } from "../publisher/open_queue.ts";
import { Publisher } from "../publisher/publisher.ts";
import type { Timings } from "../publisher/waiting.ts";
import type { FetchApp, ServedApp } from "../server/serve.ts";
import { EventTable } from "../storage/events.ts";
import { namedDirectory, queueFilePath } from "../storage/locations.ts";
import { QueueFile } from "../storage/queue_file.ts";
import { ADMIN_LISTENER, logWarnings, onlyFile, risksOf } from "./command.ts";
import { type Call, UsageError } from "./queue/verb.ts";
import {
  checkAddress,
  checkDefaultDirectory,
  checkDirectory,
  checkFile,
  feedWatchdog,
  notify,
  runService,
} from "./running_service.ts";

const logger = getLogger(["eventspool", "publisher"]);

/** Runs `eventspool publisher`. */
export async function runPublisher(call: Call): Promise<number> {
  const file = onlyFile(call.args);
  const load = () => locate(loadPublisherConfig(file, { queueName: call.queue }), call.directory);
  const config = load();
  return runService(call, config, { check, run: () => publish(config, load, call.stop) });
}

/** The directory of the command line, if there is one, replaces the file's. */
function locate(config: PublisherConfig, directory: string | undefined): PublisherConfig {
  if (directory === undefined) return config;
  if (config.file === undefined) return { ...config, directory };
  throw new UsageError(`--directory and queue.file (${config.file}) name two locations: pass one of them.`);
}

/**
 * Publishes until `stop` aborts. After each SIGHUP as the configuration then says: everything that it names is opened
 * beside what is open, and what cannot be used ends the reload, not the publisher.
 */
async function publish(
  first: PublisherConfig,
  load: () => PublisherConfig,
  stop: AbortSignal,
): Promise<void> {
  const opened = Promise.withResolvers<void>();
  let reloading = opened.promise;
  process.on("SIGHUP", () => {
    reloading = reloading.then(() => reload()); // one after the other
  });
  const openTelemetry = await preloadedOpenTelemetry((message) => logWarnings(logger, [message]));
  let session = await PublisherSession.open(first, { openTelemetry });
  let next: PublisherSession | undefined;
  let onSwitch = (): void => {};

  const reload = async (): Promise<void> => {
    try {
      const config = load();
      session.publisher.setReloadProblem(undefined);
      if (fingerprintOf(config) === session.fingerprint)
        return void logger.info("SIGHUP: nothing has changed");
      next = await PublisherSession.open(config, { openTelemetry, current: session });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      session.publisher.setReloadProblem(reason);
      return void logger.error("SIGHUP: going on with the configuration as it was: {reason}", { reason });
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    onSwitch = resolve;
    session.end();
    await promise;
  };
  opened.resolve();
  feedWatchdog(stop);
  stop.addEventListener("abort", () => notify("STOPPING=1"), { once: true });
  for (;;) {
    await session.run(stop);
    if (next === undefined || stop.aborted) break;
    if (next.admin !== session.admin) void session.admin?.close();
    session = next;
    next = undefined;
    onSwitch();
  }
  await session.admin?.close();
}

/** Looks at all that a start needs, and changes nothing. @throws {ConfigurationError | EventStorageError} as a start does */
async function check(config: PublisherConfig): Promise<{ description: object; warnings: readonly string[] }> {
  const file = config.file ?? queueFilePath(config.queueName, config.directory);
  const isDefault = config.file === undefined && namedDirectory(config.directory, process.env) === undefined;
  if (isDefault) checkDefaultDirectory(dirname(file), "directory");
  else checkDirectory(dirname(file), config.file === undefined ? "queue.directory" : "queue.file");
  for (const suffix of ["", "-wal", "-shm"]) checkFile(file + suffix, "the queue's file");
  if (existsSync(file) || config.file !== undefined) checkQueue(file, config);
  const { listen } = config.admin;
  if (listen !== undefined) await loadPackage("hono", () => checkAddress(listen, "admin.listen"));
  const warnings = [...config.warnings, ...(await risksOf(openDestination(config)))];
  return { description: { ...describePublisherConfig({ ...config, warnings }), file }, warnings };
}

/** @throws {ConfigurationError | EventStorageError} as the publisher does at its start */
function checkQueue(path: string, config: PublisherConfig): void {
  try {
    using queueFile = openReadOnly(path, config);
    checkBatchVersion(config, new EventTable(queueFile));
  } catch (error) {
    if (!(error instanceof EventStorageError && error.code === "OLDER_SCHEMA")) throw error; // a start upgrades it
  }
}

function openReadOnly(path: string, { file }: PublisherConfig): QueueFile {
  if (file === undefined) return QueueFile.openReadOnly(path);
  return QueueFile.openOutbox(path, { isReadOnly: true });
}

/** Options of a session, in addition to its configuration. */
export interface PublisherSessionOptions {
  readonly openTelemetry?: PublishTracing | undefined;
  /** The session that it replaces, if any: see {@link PublisherSession.open}. */
  readonly current?: PublisherSession;
  readonly timings?: Partial<Timings>;
}

/** A publisher with one configuration. */
export class PublisherSession {
  readonly config: PublisherConfig;
  /** The fingerprint of the configuration and the files that it names, when it was opened. */
  readonly fingerprint: string;
  readonly publisher: Publisher;
  readonly admin: AdminServer | undefined;
  readonly #openTelemetry: PublisherSessionOptions["openTelemetry"];
  readonly #end = new AbortController();

  /**
   * Opens all that the configuration names, beside what `current` has open. It keeps the admin server if its address stays.
   *
   * @throws {ConfigurationError} @throws {EventStorageError} something cannot be used; then `current` is unchanged
   */
  static async open(
    config: PublisherConfig,
    options: PublisherSessionOptions = {},
  ): Promise<PublisherSession> {
    const { current } = options;
    const { admin, undo } = await openAdmin(config.admin.listen, current?.admin);
    try {
      return new PublisherSession(config, options, admin);
    } catch (error) {
      await undo();
      throw error;
    }
  }

  private constructor(
    config: PublisherConfig,
    { openTelemetry, timings = {} }: PublisherSessionOptions,
    admin: AdminServer | undefined,
  ) {
    this.config = config;
    this.fingerprint = fingerprintOf(config);
    this.publisher = new Publisher(config, { openTelemetry, onDelivered: garbageCollection() }, timings);
    this.admin = admin;
    this.#openTelemetry = openTelemetry;
  }

  /** Publishes until `stop` aborts or {@link end} is called, and what is in flight then has finished. */
  async run(stop: AbortSignal): Promise<void> {
    logWarnings(logger, this.config.warnings);
    await using publisher = this.publisher;
    this.admin?.show(publisher, this.config.admin);
    const running = publisher.run({ signal: AbortSignal.any([stop, this.#end.signal]) });
    notify("READY=1");
    await running;
    await flushSpans(this.#openTelemetry);
  }

  end(): void {
    this.#end.abort();
  }
}

/** How many bytes are delivered from one garbage collection to the next, at least: 16 full batches. */
const COLLECT_AFTER_BYTES = 8_000_000;

/** At most one part in so many of the time goes to garbage collections. */
const COLLECT_TIME_PARTS = 20;

/**
 * Collects garbage as a publisher delivers, under Bun, whose JavaScriptCore sees the memory of request bodies too late:
 * a drain of a million events takes 85 MB instead of 99 with 4 requests in flight, and 100 instead of 123 with 32, for
 * at most 5 % of its rate. A collection takes 7 to 12 ms here. It is the command's business alone: in a service's
 * process it could take much longer.
 *
 * @param gc collects at once. Default: Bun's; under other runtimes there is nothing to do
 * @param now a monotonic clock, in milliseconds
 */
export function garbageCollection(
  gc: (() => void) | undefined = bunGc(),
  now: () => number = () => performance.now(),
): PublisherHooks["onDelivered"] {
  if (gc === undefined) return undefined;
  let deliveredBytes = 0;
  let nextAtMs = 0;
  return ({ sizeBytes }) => {
    deliveredBytes += sizeBytes;
    const startedAtMs = now();
    if (deliveredBytes < COLLECT_AFTER_BYTES || startedAtMs < nextAtMs) return;
    gc();
    deliveredBytes = 0;
    nextAtMs = startedAtMs + COLLECT_TIME_PARTS * (now() - startedAtMs);
  };
}

function bunGc(): (() => void) | undefined {
  const { Bun: bun } = globalThis as { Bun?: { gc(isSynchronous: boolean): void } };
  return bun && (() => bun.gc(true));
}

/** The admin routes at one address, for one publisher after another. */
class AdminServer {
  readonly listen: ListenAddress;
  #admin: typeof admin | undefined;
  #app: FetchApp | undefined;
  #served: ServedApp | undefined;

  constructor(listen: ListenAddress) {
    this.listen = listen;
  }

  /** @throws {ConfigurationError} it cannot listen there, or Hono is not installed */
  async open(): Promise<this> {
    const app: FetchApp = {
      fetch: (request, env) => this.#app?.fetch(request, env) ?? new Response(null, { status: 503 }),
    };
    // Only here, so that a publisher without admin routes neither needs nor loads Hono.
    const [{ admin }, { serveApp }] = await loadPackage("hono", () =>
      Promise.all([import("../admin/app.ts"), import("../server/serve.ts")]),
    );
    this.#admin = admin;
    this.#served = await serveApp(app, this.listen, { key: "admin.listen", ...ADMIN_LISTENER });
    logger.info("Admin at {address}", { address: this.#served.address });
    return this;
  }

  /** Whether it has the port of `address`, so that both cannot listen at once, though their hosts may differ. */
  hasPortOf(address: ListenAddress): boolean {
    return (
      "port" in address && "port" in this.listen && address.port === this.listen.port && address.port !== 0
    );
  }

  show(publisher: Publisher, { token }: PublisherConfig["admin"]): void {
    this.#app = this.#admin?.(publisher, {
      token: token && Buffer.from(token.reveal()).toString(),
      isLocal: isLocal(this.listen),
    });
  }

  async close(): Promise<void> {
    await this.#served?.close();
  }
}

/** Listens at an address, or keeps the server that does. `undo` restores the state before. @throws {ConfigurationError} */
async function openAdmin(
  listen: ListenAddress | undefined,
  current: AdminServer | undefined,
): Promise<{ admin: AdminServer | undefined; undo(): Promise<unknown> }> {
  if (listen === undefined) return { admin: undefined, undo: async () => {} };
  if (current !== undefined && formatAddress(listen) === formatAddress(current.listen))
    return { admin: current, undo: async () => {} };
  const inTheWay = current?.hasPortOf(listen) ? current : undefined;
  await inTheWay?.close();
  try {
    const admin = await new AdminServer(listen).open();
    return { admin, undo: async () => [await admin.close(), await inTheWay?.open()] };
  } catch (error) {
    await inTheWay?.open();
    throw error;
  }
}

/** Where all copies of @opentelemetry/api 1.x keep what an SDK has registered. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

/** How long a command waits at its end for its last spans to be exported, in milliseconds. */
const FLUSH_MS = 2_000;

/** What SDKs share beyond the API. */
interface Flushable {
  forceFlush?(): Promise<void>;
  /** The SDK's provider, where this one is a proxy for it. */
  getDelegate?(): Flushable;
}

/**
 * The package `@opentelemetry/api`, if an SDK that traces was loaded before (`--preload`, `--import`). Undefined: none
 * was, and then the package is not looked for; or the package cannot be found, and `warn` gets a message.
 */
async function preloadedOpenTelemetry(warn: (message: string) => void): Promise<PublishTracing | undefined> {
  const registered = (globalThis as { [REGISTERED]?: { trace?: unknown } })[REGISTERED];
  if (registered?.trace === undefined) return undefined;
  const name: string = "@opentelemetry/api"; // a variable, or a bundler would include it
  try {
    return (await import(name)) as PublishTracing;
  } catch (error) {
    warn(`An OpenTelemetry SDK is loaded, but requests are not traced: ${(error as Error).message}`);
    return undefined;
  }
}

/**
 * Lets the SDK export the spans that have ended, since process.exit waits for nothing. An exporter that fails or hangs
 * delays the end by two seconds at most.
 */
async function flushSpans(openTelemetry: PublishTracing | undefined): Promise<void> {
  const { trace } = (openTelemetry ?? {}) as { trace?: { getTracerProvider(): Flushable } };
  const provider = trace?.getTracerProvider();
  const flushed = (provider?.getDelegate?.() ?? provider)?.forceFlush?.();
  if (flushed !== undefined) await Promise.race([flushed.catch(() => {}), sleep(FLUSH_MS)]);
}
