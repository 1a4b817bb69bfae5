/**
 * Logs what the logging tests expect, and to stdout that it came to its end. With `--wait` it logs more than a pipe holds,
 * once stdin has ended; without it less, or lines would be lost while a busy machine lets the reader wait.
 */
import process from "node:process";
import { getLogger } from "@logtape/logtape";
import { configureLogging } from "../../../src/commands/logging.ts";

const logger = getLogger(["eventspool", "publisher"]);
configureLogging({ debug: process.argv.includes("--debug") });
logger.debug("a detail");
logger.info("sent {count} events to {url}", { count: 3, url: "http://a/v2", big: 2n ** 60n });
logger.error("cannot send", { error: new Error("line one\nline two") });
const waits = process.argv.includes("--wait");
if (waits) await new Promise((resolve) => process.stdin.once("end", resolve).resume());
for (let i = 0; i < (waits ? 1_000 : 100); i++) logger.debug("{i}", { i });
process.stdout.write("came to its end");
