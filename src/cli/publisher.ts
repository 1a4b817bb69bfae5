#!/usr/bin/env node
/** `bun run publisher`, or `eventspool-publisher`: publishes one queue to its collector. */
import { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { admin } from "../admin/admin.ts";
import { describePublisherConfig } from "../config/describe_config.ts";
import { loadPublisherConfig, type PublisherConfig } from "../config/publisher_config.ts";
import { serveApp } from "../http/serve.ts";
import { Publisher } from "../publisher/publisher.ts";
import { queueFilePath } from "../store/location.ts";
import { VERSION } from "../version.ts";
import { logWarnings, onlyFile, parseCommandLine, runCommand, stopOnSignals } from "./command.ts";
import { configureLogging } from "./logging.ts";

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
Exit codes: 0 stopped, 1 failed while running, 2 wrong usage or configuration.
`;

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

  const config = loadPublisherConfig(onlyFile(positionals), { queueName: values["queue-name"] });
  const located = values.directory === undefined ? config : { ...config, directory: values.directory };
  if (values.check) return void stdout.write(describe(located));

  configureLogging({ debug: values.debug });
  await publish(located);
});

async function publish(config: PublisherConfig): Promise<void> {
  const logger = getLogger(["eventspool", "publisher"]);
  logWarnings(logger, config.warnings);
  const signal = stopOnSignals();
  await using publisher = new Publisher(config);
  const { listen, token } = config.admin;
  const app = admin(publisher, { token: token && Buffer.from(token.reveal()).toString() });
  const served = listen && (await serveApp(app, listen, { key: "admin.listen" }));
  if (served) logger.info("Admin at {address}", { address: served.address });
  await publisher.run({ signal });
  await served?.close();
}

function describe(config: PublisherConfig): string {
  const file = queueFilePath(config.queueName, config.directory);
  return `${JSON.stringify({ ...describePublisherConfig(config), file }, null, 2)}\n`;
}
