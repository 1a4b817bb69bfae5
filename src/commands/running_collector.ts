/** A collector as the command runs it: its listeners, its sink, and how a reload replaces them. */
import { realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { getLogger } from "@logtape/logtape";
import { Hono } from "hono";
import { collectorAdmin } from "../collector/admin.ts";
import { collector } from "../collector/app.ts";
import { openSink } from "../collector/sinks/open_sink.ts";
import type { AcceptedBatch, Sink, StoreResult } from "../collector/sinks/sink.ts";
import { CollectorStatus } from "../collector/status.ts";
import {
  type CollectorConfig,
  describeCollectorConfig,
  type ListenerTls,
  loadCollectorConfig,
} from "../config/collector_config.ts";
import { fingerprintOf, loadTls } from "../config/credentials.ts";
import { isLocal, type ListenAddress } from "../config/parsers.ts";
import { describeSink, type SinkConfig } from "../config/sink_config.ts";
import {
  type FetchApp,
  type ServedApp,
  type ServeOptions,
  type ServeTls,
  serveApp,
} from "../server/serve.ts";
import { ADMIN_LISTENER, logWarnings, onlyFile, risksOf } from "./command.ts";
import type { Call } from "./queue/verb.ts";
import {
  checkAddress,
  checkDirectory,
  checkFile,
  feedWatchdog,
  notify,
  runService,
} from "./running_service.ts";

const logger = getLogger(["eventspool", "collector"]);

/** Runs `eventspool collector`. */
export async function runCollector(call: Call): Promise<number> {
  const file = onlyFile(call.args);
  const config = loadCollectorConfig(file);
  return runService(call, config, { check, run: () => collect(config, file, call.stop) });
}

/** Looks at all that a start needs, and opens no file: a running collector holds the lock of its own. @throws {ConfigurationError} */
async function check(config: CollectorConfig): Promise<{ description: object; warnings: readonly string[] }> {
  const { sink, listen, admin, tls } = config;
  if ("path" in sink) {
    checkDirectory(dirname(sink.path), "output");
    checkFile(sink.path, "output");
  }
  if (tls !== undefined) loadTls(tls);
  await checkAddress(listen, "listen");
  if (typeof admin.listen === "object") await checkAddress(admin.listen, "admin.listen");
  const risks = "path" in sink ? [] : await risksOf(await openSink(sink));
  const warnings = [...config.warnings, ...risks];
  return { description: describeCollectorConfig({ ...config, warnings }), warnings };
}

/** Collects until `stop` aborts. */
async function collect(config: CollectorConfig, file: string, stop: AbortSignal): Promise<void> {
  logWarnings(logger, config.warnings);
  feedWatchdog(stop);
  const starting = RunningCollector.start(config);
  process.on(
    "SIGHUP",
    () => void starting.then((running) => running.reload(() => loadCollectorConfig(file))),
  );
  const running = await starting;
  notify("READY=1");
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  notify("STOPPING=1");
  await running.stop();
  logger.info("Stopped");
}

/** The configuration of a listener. */
interface Listening {
  readonly address: ListenAddress;
  readonly options: ServeOptions;
}

/** A listener with its configuration. */
interface Listener extends Listening {
  readonly served: ServedApp;
}

/** Undoes a step of a reload. Not an AsyncDisposableStack: Node 22 has none. */
type UndoStep = () => Promise<void>;

/** A collector whose configuration can be replaced while it runs, completely or not at all. */
export class RunningCollector {
  readonly #status = new CollectorStatus();
  #config: CollectorConfig;
  #sink: Sink;
  /** Resolves when the sink can be used: during a reload there may be none for a moment. */
  #sinkIsOpen: Promise<unknown> = Promise.resolve();
  #batches: FetchApp = { fetch: unready };
  #admin: FetchApp = { fetch: unready };
  readonly #listeners = new Map<"listen" | "admin.listen", Listener>();
  /** Listeners that are no longer needed once the configuration is in use. */
  readonly #retired: Listener[] = [];
  #reloading: Promise<void> = Promise.resolve();

  private constructor(config: CollectorConfig, sink: Sink) {
    this.#config = config;
    this.#sink = sink;
  }

  /** @throws {ConfigurationError | EventStorageError} (rejects) it cannot be used */
  static async start(config: CollectorConfig): Promise<RunningCollector> {
    const collector = new RunningCollector(config, await openAndCheck(config.sink));
    await collector.#listen(config, []);
    collector.#use(config);
    return collector;
  }

  /** Replaces the configuration. It also resolves if the new one cannot be used: then nothing has changed. */
  reload(load: () => CollectorConfig): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload(load));
    return this.#reloading;
  }

  async stop(): Promise<void> {
    this.#status.stop();
    await this.#reloading;
    await Promise.all([...this.#listeners.values()].map(({ served }) => served.close()));
    await this.#status.idle();
    await this.#sink.close();
  }

  async #reload(load: () => CollectorConfig): Promise<void> {
    if (this.#status.isStopping) return;
    const undo: UndoStep[] = [];
    try {
      const config = load();
      logWarnings(logger, config.warnings);
      await this.#listen(config, undo);
      await this.#replaceSink(config.sink);
      undo.length = 0;
      this.#use(config);
      this.#status.reloadFailure = undefined;
      logger.info("SIGHUP: took the configuration, the keys are now {keys}", {
        keys: [...config.keys.keys()].join(", "),
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#status.reloadFailure = reason;
      this.#retired.length = 0;
      logger.error("SIGHUP: going on with the configuration as it was: {reason}", { reason });
      for (const step of undo.reverse()) await step();
    }
  }

  /** Opens and closes listeners as the configuration says; `undo` restores the old ones. */
  async #listen(config: CollectorConfig, undo: UndoStep[]): Promise<void> {
    for (const name of ["listen", "admin.listen"] as const) {
      const next = name === "listen" ? listeningOf(config) : adminListeningOf(config);
      const current = this.#listeners.get(name);
      if (isDeepStrictEqual(current && { address: current.address, options: current.options }, next))
        continue;
      await this.#replaceListener(name, next, undo);
    }
  }

  async #replaceListener(
    name: "listen" | "admin.listen",
    next: Listening | undefined,
    undo: UndoStep[],
  ): Promise<void> {
    const current = this.#listeners.get(name);
    const clashes =
      current !== undefined && next !== undefined && isDeepStrictEqual(current.address, next.address);
    const taken = clashes ? current.served.port : undefined; // of port 0
    if (clashes) void current.served.close();
    undo.push(async () => {
      const fresh = this.#listeners.get(name);
      if (fresh !== current) void fresh?.served.close();
      if (!clashes && current !== undefined) this.#listeners.set(name, current);
      else if (current === undefined) this.#listeners.delete(name);
      else await this.#open(name, current, taken);
    });
    if (next !== undefined) await this.#open(name, next, taken);
    else this.#listeners.delete(name);
    if (!clashes && current !== undefined) this.#retired.push(current);
  }

  async #open(name: "listen" | "admin.listen", listening: Listening, port?: number): Promise<void> {
    const { address, options } = listening;
    const place = port === undefined || "path" in address ? address : { ...address, port };
    const app: FetchApp = {
      fetch: (request, env) => (name === "listen" ? this.#batches : this.#admin).fetch(request, env),
    };
    const served = await serveApp(app, place, options);
    this.#listeners.set(name, { ...listening, served });
  }

  /** @throws {EventStorageError} (rejects) the new one cannot be opened; then the old one is in use */
  async #replaceSink(config: SinkConfig): Promise<void> {
    if (fingerprintOf(config) === fingerprintOf(this.#config.sink)) return; // two secrets are deeply equal, always
    const swapping = this.#swapSink(config);
    this.#sinkIsOpen = swapping.catch(() => {});
    await swapping;
  }

  async #swapSink(config: SinkConfig): Promise<void> {
    const old = this.#sink;
    const isSameOutput =
      "path" in config && "path" in this.#config.sink && samePlace(config.path, this.#config.sink.path);
    if (!isSameOutput) this.#sink = await openAndCheck(config);
    await old.close();
    if (!isSameOutput) return;
    try {
      this.#sink = await openAndCheck(config);
    } catch (error) {
      this.#sink = await openAndCheck(this.#config.sink);
      throw error;
    }
  }

  /** The current sink. */
  readonly #stableSink: Pick<Sink, "store" | "risks"> = (() => {
    const current = (): Sink => this.#sink;
    return {
      store: (batch: AcceptedBatch) => this.#store(batch),
      get risks() {
        return current().risks ?? [];
      },
    };
  })();

  async #store(batch: AcceptedBatch): Promise<StoreResult> {
    await this.#sinkIsOpen;
    return this.#sink.store(batch);
  }

  /** Uses the configuration from now on. */
  #use(config: CollectorConfig): void {
    const status = this.#status;
    this.#config = config;
    const keys = new Map(
      [...config.keys].map(([name, key]) => [name, { ...key, secret: key.secret.reveal() }]),
    );
    const { maxBodyBytes, maxEvents, maxPendingBytes, maxRequests, v1, checkStructs } = config;
    const limits = { maxBodyBytes, maxEvents, maxPendingBytes, maxRequests };
    const app = collector({ ...limits, v1, checkStructs, keys, sink: this.#stableSink, status });
    const { token, listen } = config.admin;
    const routes = collectorAdmin(status, {
      token: token && Buffer.from(token.reveal()).toString(),
      isLocal: isLocal(listen === "beside" || listen === undefined ? config.listen : listen),
    });
    this.#batches = isBeside(config) ? beside(routes, app) : app;
    this.#admin = routes;
    for (const { served } of this.#retired.splice(0)) void served.close();
    status.connections = this.#listeners.get("listen")?.served.connections;
    this.#logAddresses(config);
  }

  #logAddresses(config: CollectorConfig): void {
    const address = this.#listeners.get("listen")?.served.address;
    logger.info("Collecting at {address} into {output}", { address, output: describeSink(config.sink) });
    const admin = this.#listeners.get("admin.listen")?.served.address;
    if (admin !== undefined) logger.info("Admin at {address}", { address: admin });
    else if (config.admin.listen === "beside" && !isBeside(config))
      logger.warn(
        "There are no /health and /metrics: others reach {address}, so set admin.listen or admin.token",
        { address },
      );
  }
}

function unready(): Response {
  return Response.json({ error: "The collector is starting. Send it again." }, { status: 503 });
}

async function openAndCheck(config: SinkConfig): Promise<Sink> {
  const sink = await openSink(config);
  sink.checkRisks?.().catch(() => {}); // servers that cannot be reached now are asked later
  return sink;
}

function samePlace(one: string, other: string): boolean {
  const real = (path: string): string => {
    try {
      return realpathSync(path);
    } catch {
      return resolve(path); // it is not there yet
    }
  };
  return real(one) === real(other);
}

function listeningOf({ listen, tls, ...config }: CollectorConfig): Listening {
  const { requestTimeoutMs, graceMs, maxConnections } = config;
  const options = {
    key: "listen",
    requestTimeoutMs,
    graceMs,
    maxConnections,
    tls: tls && loadListenerTls(tls),
  };
  return { address: listen, options };
}

/** @throws {ConfigurationError} */
function loadListenerTls(files: ListenerTls): ServeTls {
  const { ca, cert, key } = loadTls(files);
  return { cert: cert!, key: key!, ca };
}

function adminListeningOf({ admin: { listen } }: CollectorConfig): Listening | undefined {
  return listen === "beside" || listen === undefined
    ? undefined
    : { address: listen, options: { key: "admin.listen", ...ADMIN_LISTENER } };
}

/** Whether /health and /metrics are where the batches are received. */
function isBeside({ listen, admin }: CollectorConfig): boolean {
  return admin.listen === "beside" && (isLocal(listen) || admin.token !== undefined);
}

function beside(admin: Hono, app: Hono): FetchApp {
  return new Hono()
    .all("/health", (c) => admin.fetch(c.req.raw, c.env))
    .all("/metrics", (c) => admin.fetch(c.req.raw, c.env))
    .all("*", (c) => app.fetch(c.req.raw, c.env));
}
