#!/usr/bin/env node
/** `bun run publisher`, or `eventspool-publisher`: publishes one queue to its collector. */
import { existsSync } from "node:fs";
import process, { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { describePublisherConfig, fingerprintOf } from "../config/describe_config.ts";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { EventStorageError } from "../errors.ts";
import { openDestination } from "../publisher/destinations/open_destination.ts";
import { checkBatchVersion } from "../publisher/open_queue.ts";
import { EventTable } from "../storage/events.ts";
import { queueFilePath } from "../storage/locations.ts";
import { DEFAULT_BUSY_TIMEOUT_MS } from "../storage/lock_wait.ts";
import { QueueFile } from "../storage/queue_file.ts";
import { VERSION } from "../version.ts";
import {
  logWarnings,
  onlyFile,
  parseCommandLine,
  risksOf,
  runCommand,
  stopOnSignals,
  UsageError,
} from "./command.ts";
import { configureLogging } from "./logging.ts";
import { preloadedOpenTelemetry } from "./open_telemetry.ts";
import { printLines } from "./output.ts";
import { PublisherSession } from "./publisher_session.ts";
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
  --check              check the configuration, and the settings of a JetStream
                       stream if it can be asked; print it as JSON, and exit
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
  if (values.check) return printLines(await check(config));

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

async function check(config: PublisherConfig): Promise<string> {
  const file = config.file ?? queueFilePath(config.queueName, config.directory);
  if (existsSync(file)) checkQueue(file, config);
  const warnings = [...config.warnings, ...(await risksOf(openDestination(config)))];
  return JSON.stringify({ ...describePublisherConfig({ ...config, warnings }), file }, null, 2);
}

/** @throws {ConfigurationError} as the publisher does at its start; a file that cannot be read is left to that */
function checkQueue(path: string, config: PublisherConfig): void {
  let queueFile: QueueFile | undefined;
  try {
    queueFile = openReadOnly(path, config);
    checkBatchVersion(config, new EventTable(queueFile));
  } catch (error) {
    if (!(error instanceof EventStorageError)) throw error;
  } finally {
    queueFile?.close();
  }
}

function openReadOnly(path: string, { file }: PublisherConfig): QueueFile {
  if (file === undefined) return QueueFile.openReadOnly(path);
  return QueueFile.openOutbox(path, { busyTimeoutMs: DEFAULT_BUSY_TIMEOUT_MS, isReadOnly: true });
}
