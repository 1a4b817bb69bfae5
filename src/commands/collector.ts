#!/usr/bin/env node
/** `bun run collector`, or `eventspool-collector`: an event collector. */
import process, { stdout } from "node:process";
import { getLogger } from "@logtape/logtape";
import { openSink } from "../collector/sinks/sink.ts";
import { type CollectorConfig, loadCollectorConfig } from "../config/collector_config.ts";
import { describeCollectorConfig } from "../config/describe_config.ts";
import { loadPackage } from "../load_package.ts";
import { VERSION } from "../version.ts";
import { logWarnings, onlyFile, parseCommandLine, risksOf, runCommand, stopOnSignals } from "./command.ts";
import { configureLogging } from "./logging.ts";
import { printLines } from "./output.ts";
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
SIGHUP reads the configuration again. If it cannot be used, as it is wrong, a port is taken or
a directory missing, the collector goes on as before, and says so in its log and /health.
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
  if (values.check) return printLines((await check(config)).trimEnd());
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
  const { RunningCollector } = await loadPackage("hono", () => import("./running_collector.ts"));
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
