import { writeSync } from "node:fs";
import { env } from "node:process";
import { isatty } from "node:tty";
import {
  configureSync,
  getAnsiColorFormatter,
  getTextFormatter,
  jsonLinesFormatter,
  type TextFormatter,
} from "@logtape/logtape";
import { sleepSync } from "./output.ts";

const STDERR = 2;

/** How long a line waits for the reader of a full pipe, in milliseconds. */
const MAX_WAIT_MS = 100;

const PAUSE_MS = 1;

/** What the log is written for. */
export interface LogTarget {
  /** Whether people read it as it comes: text, not JSON lines. */
  readonly terminal: boolean;
  /** Whether text is coloured. */
  readonly colors: boolean;
}

/**
 * Sends the log of a command to stderr: text on a terminal, in colour unless `NO_COLOR` is set,
 * else JSON lines (`@timestamp`, `level`, `message`, `logger`, `properties`). Level info and above;
 * all with `debug`.
 */
export function configureLogging({ debug }: { debug: boolean }): void {
  const format = logFormatter({ terminal: isatty(STDERR), colors: !env.NO_COLOR });
  const write = createLineWriter(STDERR);
  configureSync({
    reset: true,
    sinks: { stderr: (record) => write(format(record)) },
    loggers: [
      { category: "eventspool", lowestLevel: debug ? "debug" : "info", sinks: ["stderr"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stderr"] },
    ],
  });
}

/** How a record becomes a line. */
export function logFormatter({ terminal, colors }: LogTarget): TextFormatter {
  if (!terminal) return jsonLinesFormatter;
  const options = { timestamp: "time", timeZone: null, category: ".", value: "bare" } as const;
  return colors ? getAnsiColorFormatter(options) : getTextFormatter(options);
}

/**
 * Writes synchronously: a line is out before the process can die of what it tells, and nothing
 * pending keeps the process alive. A line is lost when the log's reader is gone (EPIPE), or when a
 * pipe that does not block, as Node's stderr, stays full (EAGAIN): a log must not stop deliveries.
 */
function createLineWriter(file: number): (line: string) => void {
  let patienceMs = MAX_WAIT_MS; // spent by a reader that stalls, renewed by one that reads
  return (line) => {
    let rest = Buffer.from(line);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(file, rest));
        patienceMs = MAX_WAIT_MS;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || patienceMs <= 0) return;
        patienceMs -= PAUSE_MS;
        sleepSync(PAUSE_MS);
      }
    }
  };
}
