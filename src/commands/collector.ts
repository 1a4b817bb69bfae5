#!/usr/bin/env node
/** `bun run collector`, or `eventspool-collector`: an event collector. */
import process, { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { Hono } from "hono";
import { collectorAdmin } from "../collector/admin.ts";
import { collector } from "../collector/app.ts";
import type { Keys } from "../collector/signature.ts";
import { openSink } from "../collector/sinks/open_sink.ts";
import { CollectorStatus } from "../collector/status.ts";
import { isLocal, type ListenAddress } from "../config/addresses.ts";
import { type CollectorConfig, loadCollectorConfig } from "../config/collector_config.ts";
import { describeCollectorConfig } from "../config/describe_config.ts";
import { describeSink } from "../config/sink_config.ts";
import { type FetchApp, type ServedApp, serveApp } from "../server/serve.ts";
import { VERSION } from "../version.ts";
import { logWarnings, onlyFile, parseCommandLine, risksOf, runCommand, stopOnSignals } from "./command.ts";
import { configureLogging } from "./logging.ts";
import { feedWatchdog, notify } from "./service_manager.ts";

const HELP = `Collects events from publishers and appends them to a file, one JSON text a line.

Usage: collector [options] CONFIG_FILE

  CONFIG_FILE    an INI file with a section [event-collector], or a .toml file
                 with a table [event-collector]; the publisher's file may hold both

Options:
  --check        check the configuration, and the settings of a JetStream stream
                 if it can be asked; print it as JSON, and exit
  --debug        log every batch
  --version      print the version, and exit
  --help         print this, and exit

SIGTERM and SIGINT stop it: what it has received is stored and answered, for which it has
\`grace\`. A second signal ends it at once; publishers send again what was not answered.
SIGHUP reads the keys again, and nothing else.
Exit codes: 0 stopped, 1 failed while running, 2 wrong usage or configuration.
`;

const OPTIONS = {
  check: { type: "boolean", default: false },
  debug: { type: "boolean", default: false },
  version: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

const logger = getLogger(["eventspool", "collector"]);

await runCommand("collector", async () => {
  const { values, positionals } = parseCommandLine(OPTIONS);
  if (values.help) return void stdout.write(HELP);
  if (values.version) return void stdout.write(`${VERSION}\n`);

  const file = onlyFile(positionals);
  const config = loadCollectorConfig(file);
  if (values.check) return void stdout.write(await check(config));
  configureLogging({ debug: values.debug });
  await collect(config, file);
});

/** Opens no file: a running collector holds the lock of its own. */
async function check(config: CollectorConfig): Promise<string> {
  const risks = config.sink.kind === "nats" ? await risksOf(await openSink(config.sink)) : [];
  const warnings = [...config.warnings, ...risks];
  return `${JSON.stringify(describeCollectorConfig({ ...config, warnings }), null, 2)}\n`;
}

async function collect(config: CollectorConfig, file: string): Promise<void> {
  logWarnings(logger, config.warnings);
  const stop = stopOnSignals();
  feedWatchdog(stop);
  const status = new CollectorStatus();
  const sink = await openSink(config.sink);
  sink.checkRisks?.().catch(() => {}); // servers that are away now are asked when they are back
  const app = collector({ ...config, keys: keysOf(config, file), sink, status });
  const served = await serve(app, config, status);
  notify("READY=1");
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  notify("STOPPING=1");
  status.stop();
  await Promise.all(served.map((one) => one.close()));
  await status.idle();
  await sink.close();
  logger.info("Stopped");
}

/** The keys as the file has them, read anew with each SIGHUP, as long as it can be used. */
function keysOf(config: CollectorConfig, file: string): () => Keys {
  let keys = reveal(config);
  process.on("SIGHUP", () => {
    try {
      const read = loadCollectorConfig(file);
      logWarnings(logger, read.warnings);
      keys = reveal(read);
      logger.info("SIGHUP: the keys are now {keys}", { keys: [...keys.keys()].join(", ") });
    } catch (error) {
      logger.error("SIGHUP: going on with the keys as they were: {reason}", {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  });
  return () => keys;
}

function reveal({ keys }: CollectorConfig): Keys {
  return new Map([...keys].map(([name, key]) => [name, { ...key, secret: key.secret.reveal() }]));
}

/** Listens: for batches first, and for whoever looks after it. */
async function serve(app: Hono, config: CollectorConfig, status: CollectorStatus): Promise<ServedApp[]> {
  const { listen, requestTimeoutMs, graceMs, admin } = config;
  const routes = collectorAdmin(status, {
    token: admin.token && Buffer.from(admin.token.reveal()).toString(),
  });
  const options = { requestTimeoutMs, graceMs };
  const isBeside = admin.listen === "beside" && (isLocal(listen) || admin.token !== undefined);
  const served = [
    await serveApp(isBeside ? beside(routes, app) : app, listen, { key: "listen", ...options }),
  ];
  const address = served[0]?.address;
  logger.info("Collecting at {address} into {output}", { address, output: describeSink(config.sink) });
  if (isBeside) return served;
  if (admin.listen === "beside")
    logger.warn(
      "There are no /health and /metrics: others reach {address}, so set admin.listen or admin.token",
      {
        address,
      },
    );
  else if (admin.listen) served.push(await serveAdmin(routes, admin.listen));
  return served;
}

async function serveAdmin(routes: Hono, address: ListenAddress): Promise<ServedApp> {
  const served = await serveApp(routes, address, { key: "admin.listen" });
  logger.info("Admin at {address}", { address: served.address });
  return served;
}

function beside(admin: Hono, app: Hono): FetchApp {
  return new Hono()
    .all("/health", (c) => admin.fetch(c.req.raw))
    .all("/metrics", (c) => admin.fetch(c.req.raw))
    .all("*", (c) => app.fetch(c.req.raw));
}
