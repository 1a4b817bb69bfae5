/**
 * `eventspool publisher`: its command line.
 *
 * @module
 */
import process from "node:process";
import { calledAs } from "./called_as.ts";
import { runVerb } from "./command.ts";
import { QUEUE, type Verb } from "./queue/verb.ts";

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
    strict: { type: "boolean", help: "treat warnings of the configuration as errors" },
    debug: { type: "boolean", help: "log every batch" },
    version: { type: "boolean", help: "print the version" },
  },
  examples: ["config.ini", "--check --strict config.ini", "--queue-name audit config.ini"],
  run: async (call) => (await import("./publisher_session.ts")).runPublisher(call),
};

/** The command `eventspool-publisher`. */
export async function runPublisher(): Promise<never> {
  const name = calledAs({ bin: "eventspool-publisher", script: "publisher" });
  return runVerb(name, publisher, { program: name, args: process.argv.slice(2) });
}
