/**
 * `eventspool collector`: its command line.
 *
 * @module
 */
import process from "node:process";
import { loadPackage } from "../load_package.ts";
import { calledAs } from "./called_as.ts";
import { runVerb } from "./command.ts";
import type { Verb } from "./queue/verb.ts";

/** `eventspool collector` */
export const collector: Verb = {
  summary: "collect events from publishers, until it is stopped",
  args: "CONFIG_FILE",
  details: `CONFIG_FILE is an INI file with a section [event-collector], or a .toml file with a table [event-collector]; the publisher's file may hold both.
SIGTERM and SIGINT stop it: within "grace" it stores and answers what it has received. A second signal ends it at once; publishers send again what was not answered.
SIGHUP reads the configuration again. If it cannot be used, because it is wrong, a port is taken or a directory is missing, the collector keeps the old one and reports it in its log and /health.`,
  options: {
    check: {
      type: "boolean",
      help: "check the configuration, the output's directory, the addresses and the settings of JetStream or Postgres; print the configuration as JSON, and exit",
    },
    strict: { type: "boolean", help: "treat warnings of the configuration as errors" },
    debug: { type: "boolean", help: "log every batch" },
    version: { type: "boolean", help: "print the version" },
  },
  examples: ["config.ini", "--check --strict config.ini"],
  async run(call) {
    const running = await loadPackage("hono", () => import("./running_collector.ts"));
    return running.runCollector(call);
  },
};

/** The command `eventspool-collector`. */
export async function runCollector(): Promise<never> {
  const name = calledAs({ bin: "eventspool-collector", script: "collector" });
  return runVerb(name, collector, { program: name, args: process.argv.slice(2) });
}
