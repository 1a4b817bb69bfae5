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

const STDERR = 2;

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
  configureSync({
    reset: true,
    sinks: { stderr: (record) => writeLine(format(record)) },
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
 * Written synchronously: a line is out before the process can die of what it tells, and nothing
 * pending keeps the process alive. When the log's reader is gone (EPIPE), or a pipe that does
 * not block is full (EAGAIN), the line is lost: a log must not stop deliveries.
 */
function writeLine(line: string): void {
  try {
    writeSync(STDERR, line);
  } catch {}
}
