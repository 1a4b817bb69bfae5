/** `eventspool publisher` and `eventspool collector`: their command lines. */
import process from "node:process";
import { loadPackage } from "../load_package.ts";
import { calledAs, runVerb } from "./command.ts";
import { type Options, QUEUE, type Verb } from "./queue/verb.ts";

const SERVICE_OPTIONS: Options = {
  strict: { type: "boolean", help: "treat warnings of the configuration as errors" },
  debug: { type: "boolean", help: "log every batch" },
  version: { type: "boolean", help: "print the version" },
};

/** `eventspool publisher` */
export const publisher: Verb = {
  summary: "publish the events of a queue, until it is stopped",
  args: "CONFIG_FILE",
  details: `CONFIG_FILE is an INI file with a section [event-publisher:NAME], or a .toml file with a table [event-publisher.NAME].
SIGTERM and SIGINT stop it: batches in flight have publisher.grace to finish, the others stay in the queue. A second signal ends it at once; nothing is lost either way.
SIGHUP reads the configuration again. The new one is used once the batches in flight have finished; if it cannot be used, the old one stays.`,
  options: {
    ...QUEUE,
    check: {
      type: "boolean",
      help: "check the configuration, the directory, the files, the admin address and the settings of JetStream or Postgres; print the configuration as JSON, and exit",
    },
    ...SERVICE_OPTIONS,
  },
  examples: ["config.ini", "--check --strict config.ini", "--queue-name audit config.ini"],
  run: async (call) => (await import("./publisher_session.ts")).runPublisher(call),
};

/** `eventspool collector` */
export const collector: Verb = {
  summary: "collect events from publishers, until it is stopped",
  args: "CONFIG_FILE",
  details: `CONFIG_FILE is an INI file with a section [event-collector], or a .toml file with a table [event-collector]; the publisher's file may hold both.
SIGTERM and SIGINT stop it: it finishes the requests that it has received, within "grace". A second signal ends it at once; publishers send unanswered requests again.
SIGHUP reads the configuration again. If it cannot be used, because it is wrong, a port is taken or a directory is missing, the collector keeps the old one and reports it in its log and /health.`,
  options: {
    check: {
      type: "boolean",
      help: "check the configuration, the output's directory, the addresses and the settings of JetStream or Postgres; print the configuration as JSON, and exit",
    },
    ...SERVICE_OPTIONS,
  },
  examples: ["config.ini", "--check --strict config.ini"],
  async run(call) {
    const running = await loadPackage("hono", () => import("./running_collector.ts"));
    return running.runCollector(call);
  },
};

/** The command `eventspool-publisher`. */
export function runPublisher(): Promise<never> {
  return runAs("publisher", publisher);
}

/** The command `eventspool-collector`. */
export function runCollector(): Promise<never> {
  return runAs("collector", collector);
}

function runAs(script: string, verb: Verb): Promise<never> {
  const name = calledAs({ bin: `eventspool-${script}`, script });
  return runVerb(name, verb, { program: name, args: process.argv.slice(2) });
}
