#!/usr/bin/env node
/** `bun run publisher`, or `eventspool-publisher`: publishes one queue to its collector. */
import process, { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { admin } from "../admin/app.ts";
import { isLocal } from "../config/addresses.ts";
import { describePublisherConfig } from "../config/describe_config.ts";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { openDestination } from "../publisher/destinations/open_destination.ts";
import { Publisher } from "../publisher/publisher.ts";
import { serveApp } from "../server/serve.ts";
import { queueFilePath } from "../storage/locations.ts";
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
  --check              check the configuration, and the settings of a JetStream
                       stream if it can be asked; print it as JSON, and exit
  --debug              log every batch
  --version            print the version, and exit
  --help               print this, and exit

SIGTERM and SIGINT stop it: batches in flight have publisher.grace to finish, the
others stay in the queue. A second signal ends it at once; nothing is lost either way.
SIGHUP reads the configuration again, and goes on with it once what is in flight has finished.
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
  if (values.check) return void stdout.write(await check(config));

  configureLogging({ debug: values.debug });
  await publish(config, load);
});

/** The directory of the command line, if there is one, replaces the file's. */
function locate(config: PublisherConfig, directory: string | undefined): PublisherConfig {
  if (directory === undefined) return config;
  if (config.file === undefined) return { ...config, directory };
  throw new UsageError(`--directory and queue.file (${config.file}) are two places: name one of them.`);
}

/** Publishes until it is stopped; after each SIGHUP as the configuration then says, if it can be used. */
async function publish(first: PublisherConfig, load: () => PublisherConfig): Promise<void> {
  const stop = stopOnSignals();
  let config = first;
  let reload = new AbortController();
  process.on("SIGHUP", () => {
    try {
      config = load();
      reload.abort();
    } catch (error) {
      logger.error("SIGHUP: going on with the configuration as it was: {reason}", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  });
  feedWatchdog(stop);
  stop.addEventListener("abort", () => notify("STOPPING=1"), { once: true });
  while (!stop.aborted) {
    reload = new AbortController();
    await publishUntil(AbortSignal.any([stop, reload.signal]), config);
  }
}

async function publishUntil(signal: AbortSignal, config: PublisherConfig): Promise<void> {
  logWarnings(logger, config.warnings);
  const openTelemetry = await preloadedOpenTelemetry((message) => logWarnings(logger, [message]));
  await using publisher = new Publisher(config, { openTelemetry });
  const { listen, token } = config.admin;
  const app = admin(publisher, {
    token: token && Buffer.from(token.reveal()).toString(),
    isLocal: listen && isLocal(listen),
  });
  const served = listen && (await serveApp(app, listen, { key: "admin.listen" }));
  if (served) logger.info("Admin at {address}", { address: served.address });
  const running = publisher.run({ signal });
  notify("READY=1");
  await running;
  await flushSpans(openTelemetry);
  await served?.close();
}

async function check(config: PublisherConfig): Promise<string> {
  const file = config.file ?? queueFilePath(config.queueName, config.directory);
  const warnings = [...config.warnings, ...(await risksOf(openDestination(config)))];
  return `${JSON.stringify({ ...describePublisherConfig({ ...config, warnings }), file }, null, 2)}\n`;
}
