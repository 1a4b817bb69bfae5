#!/usr/bin/env node
/** `bun run collector`, or `eventspool-collector`: a small event collector that appends what it accepts to a file. */
import { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { type BatchMeta, collector } from "../collector/collector.ts";
import { parseEventIds } from "../collector/event_ids.ts";
import { EventList } from "../collector/event_list.ts";
import { openSink } from "../collector/open_sink.ts";
import type { AcceptedBatch } from "../collector/sink.ts";
import { type CollectorConfig, loadCollectorConfig } from "../config/collector_config.ts";
import { serveApp } from "../http/serve.ts";
import { VERSION } from "../version.ts";
import { logWarnings, onlyFile, parseCommandLine, runCommand, stopOnSignals } from "./command.ts";
import { configureLogging } from "./logging.ts";

const HELP = `Collects events from publishers and appends them to a file, one JSON text a line.

Usage: collector [options] CONFIG_FILE

  CONFIG_FILE    an INI file with a section [event-collector], or a .toml file
                 with a table [event-collector]; the publisher's file may hold both

Options:
  --debug        log every batch
  --version      print the version, and exit
  --help         print this, and exit

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed while running, 2 wrong usage or configuration.
`;

const OPTIONS = {
  debug: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

await runCommand("collector", async () => {
  const { values, positionals } = parseCommandLine(OPTIONS);
  if (values.help) return void stdout.write(HELP);
  if (values.version) return void stdout.write(`${VERSION}\n`);

  const config = loadCollectorConfig(onlyFile(positionals));
  configureLogging({ debug: values.debug });
  await collect(config);
});

async function collect(config: CollectorConfig): Promise<void> {
  const logger = getLogger(["eventspool", "collector"]);
  logWarnings(logger, config.warnings);
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  stopOnSignals().addEventListener("abort", () => stop());
  const sink = await openSink(config.sink);
  const keys = new Map([...config.keys].map(([name, secret]) => [name, secret.reveal()]));
  const store = async (events: readonly string[], meta: BatchMeta): Promise<void> =>
    void (await sink.store(batchOf(events, meta)));
  const app = collector({ keys, store, maxBodyBytes: config.maxBodyBytes });
  const served = await serveApp(app, config.listen, { key: "listen" });
  logger.info("Collecting at {address} into {output}", { address: served.address, output: config.sink.path });
  await stopped;
  await served.close();
  await sink.close();
  logger.info("Stopped");
}

function batchOf(events: readonly string[], { version, keyName, eventIds }: BatchMeta): AcceptedBatch {
  const bodies = events.map((event) => Buffer.from(event));
  const bounds = new Uint32Array(2 * events.length);
  let at = 0;
  for (const [index, body] of bodies.entries()) {
    bounds[2 * index] = at;
    at += body.length;
    bounds[2 * index + 1] = at;
  }
  const ids = eventIds === undefined ? undefined : parseEventIds(eventIds);
  return { events: new EventList(Buffer.concat(bodies), bounds), version, keyName, ids };
}
