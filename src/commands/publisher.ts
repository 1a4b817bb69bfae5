#!/usr/bin/env node
/** `bun run publisher`, or `eventspool-publisher`: publishes one queue to its collector. */
import process, { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { admin } from "../admin/app.ts";
import { formatAddress, isLocal, type ListenAddress } from "../config/addresses.ts";
import { describePublisherConfig, isSameConfig } from "../config/describe_config.ts";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { Publisher } from "../publisher/publisher.ts";
import { type FetchApp, type ServedApp, serveApp } from "../server/serve.ts";
import { queueFilePath } from "../storage/locations.ts";
import { VERSION } from "../version.ts";
import { logWarnings, onlyFile, parseCommandLine, runCommand, stopOnSignals, UsageError } from "./command.ts";
import { configureLogging } from "./logging.ts";
import { flushSpans, preloadedOpenTelemetry } from "./open_telemetry.ts";
import { feedWatchdog, notify } from "./service_manager.ts";

const HELP = `Publishes the events of one queue to an event collector.

Usage: publisher [options] CONFIG_FILE

  CONFIG_FILE          an INI file with a section [event-publisher:NAME],
                       or a .toml file with a table [event-publisher.NAME]

Options:
  --queue-name NAME    the queue and its section (default: main)
  --directory DIR      where the queue's file is (default: queue.directory, else
                       $EVENTSPOOL_DIR, $STATE_DIRECTORY, $XDG_STATE_HOME/eventspool,
                       ~/.local/state/eventspool)
  --check              check the configuration, print it as JSON, and exit
  --debug              log every batch
  --version            print the version, and exit
  --help               print this, and exit

SIGTERM and SIGINT stop it: batches in flight have publisher.grace to finish, the
others stay in the queue. A second signal ends it at once; nothing is lost either way.
SIGHUP reads the configuration again, and goes on with it once what is in flight has finished;
with the one that it has, if the new one cannot be used.
Exit codes: 0 stopped, 1 failed while running, 2 wrong usage or configuration.
`;

const logger = getLogger(["eventspool", "publisher"]);

const OPTIONS = {
  "queue-name": { type: "string", default: "main" },
  directory: { type: "string" },
  check: { type: "boolean", default: false },
  debug: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

await runCommand("publisher", async () => {
  const { values, positionals } = parseCommandLine(OPTIONS);
  if (values.help) return void stdout.write(HELP);
  if (values.version) return void stdout.write(`${VERSION}\n`);

  const { directory } = values;
  const file = onlyFile(positionals);
  const load = () => locate(loadPublisherConfig(file, { queueName: values["queue-name"] }), directory);
  const config = load();
  if (values.check) return void stdout.write(describe(config));

  configureLogging({ debug: values.debug });
  await publish(config, load);
});

/** The directory of the command line, if there is one, replaces the file's. */
function locate(config: PublisherConfig, directory: string | undefined): PublisherConfig {
  if (directory === undefined) return config;
  if (config.file === undefined) return { ...config, directory };
  throw new UsageError(`--directory and queue.file (${config.file}) are two places: name one of them.`);
}

/**
 * Publishes until it is stopped. After each SIGHUP as the configuration then says: everything that it names is opened
 * beside what is open, and what cannot be used ends the reload, not the publisher.
 */
async function publish(first: PublisherConfig, load: () => PublisherConfig): Promise<void> {
  const stop = stopOnSignals();
  const opened = Promise.withResolvers<void>();
  let reloading = opened.promise;
  process.on("SIGHUP", () => {
    reloading = reloading.then(() => reload()); // one after the other
  });
  const openTelemetry = await preloadedOpenTelemetry((message) => logWarnings(logger, [message]));
  let session = await Session.open(first, openTelemetry);
  let next: Session | undefined;
  let onSwitch = (): void => {};

  const reload = async (): Promise<void> => {
    try {
      const config = load();
      session.publisher.noteReload(undefined);
      if (isSameConfig(config, session.config)) return void logger.info("SIGHUP: nothing has changed");
      next = await Session.open(config, openTelemetry, session);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      session.publisher.noteReload(reason);
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

/** A publisher that works as one configuration says. */
class Session {
  readonly config: PublisherConfig;
  readonly publisher: Publisher;
  readonly admin: AdminServer | undefined;
  readonly #openTelemetry: OpenTelemetry;
  readonly #end = new AbortController();

  /**
   * Opens all that the configuration names, beside what `current` has open; its admin address too, if that stays.
   *
   * @throws {ConfigurationError} @throws {EventStorageError} something cannot be used; then `current` is as it was
   */
  static async open(
    config: PublisherConfig,
    openTelemetry: OpenTelemetry,
    current?: Session,
  ): Promise<Session> {
    const { admin, undo } = await openAdmin(config.admin.listen, current?.admin);
    try {
      return new Session(config, openTelemetry, admin);
    } catch (error) {
      await undo();
      throw error;
    }
  }

  private constructor(config: PublisherConfig, openTelemetry: OpenTelemetry, admin: AdminServer | undefined) {
    this.config = config;
    this.publisher = new Publisher(config, { openTelemetry });
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

type OpenTelemetry = Awaited<ReturnType<typeof preloadedOpenTelemetry>>;

/** The admin routes at one address, of one publisher after the other. */
class AdminServer {
  readonly listen: ListenAddress;
  #app: FetchApp | undefined;
  #served: ServedApp | undefined;

  constructor(listen: ListenAddress) {
    this.listen = listen;
  }

  /** @throws {ConfigurationError} it cannot listen there */
  async open(): Promise<this> {
    const fetch = (request: Request) => this.#app?.fetch(request) ?? new Response(null, { status: 503 });
    this.#served = await serveApp({ fetch }, this.listen, { key: "admin.listen" });
    logger.info("Admin at {address}", { address: this.#served.address });
    return this;
  }

  /** Whether nobody else could listen at `address` beside it, though it is another one: such as at another host. */
  hasPortOf(address: ListenAddress): boolean {
    return (
      "port" in address && "port" in this.listen && address.port === this.listen.port && address.port !== 0
    );
  }

  show(publisher: Publisher, { token }: PublisherConfig["admin"]): void {
    this.#app = admin(publisher, {
      token: token && Buffer.from(token.reveal()).toString(),
      isLocal: isLocal(this.listen),
    });
  }

  async close(): Promise<void> {
    await this.#served?.close();
  }
}

/** Listens at an address, or goes on where it is the same. `undo` leaves all as it was. @throws {ConfigurationError} */
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

function describe(config: PublisherConfig): string {
  const file = config.file ?? queueFilePath(config.queueName, config.directory);
  return `${JSON.stringify({ ...describePublisherConfig(config), file }, null, 2)}\n`;
}
