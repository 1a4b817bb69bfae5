/** Logs what the logging tests expect, and to stdout that it came to its end. */
import process from "node:process";
import { getLogger } from "@logtape/logtape";
import { configureLogging } from "../../../src/commands/logging.ts";

const logger = getLogger(["eventspool", "publisher"]);
configureLogging({ debug: process.argv.includes("--debug") });
logger.debug("a detail");
logger.info("sent {count} events to {url}", { count: 3, url: "http://a/v2", big: 2n ** 60n });
logger.error("cannot send", { error: new Error("line one\nline two") });
if (process.argv.includes("--wait"))
  await new Promise((resolve) => process.stdin.once("end", resolve).resume());
for (let i = 0; i < 1_000; i++) logger.debug("{i}", { i });
process.stdout.write("came to its end");
