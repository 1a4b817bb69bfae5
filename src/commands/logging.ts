import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import {
  type AnsiColorFormatterOptions,
  configureSync,
  getAnsiColorFormatter,
  getTextFormatter,
  jsonLinesFormatter,
  type TextFormatter,
  type TextFormatterOptions,
} from "@logtape/logtape";
import { escapeControls } from "../format.ts";
import { sleepSync, usesColors } from "./output.ts";

const STDERR = 2;

/** How long a line waits for the reader of a full pipe, in milliseconds. */
const MAX_WAIT_MS = 100;

const PAUSE_MS = 1;

/** Where the log is written. */
export interface LogTarget {
  /** Whether it is a terminal: it gets text, not JSON lines. */
  readonly terminal: boolean;
  /** Whether text is coloured. */
  readonly colors: boolean;
}

/**
 * Sends the log of a command to stderr: text on a terminal, with colours as {@link usesColors} says,
 * else JSON lines (`@timestamp`, `level`, `message`, `logger`, `properties`). Level info and above;
 * all with `debug`.
 */
export function configureLogging({ debug }: { debug: boolean }): void {
  const format = logFormatter({ terminal: isatty(STDERR), colors: usesColors(STDERR) });
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

/** Formats a record as a line. Foreign text in it can neither change the terminal nor forge a line. */
export function logFormatter({ terminal, colors }: LogTarget): TextFormatter {
  if (!terminal) return (record) => `${escapeControls(jsonLinesFormatter(record).trimEnd())}\n`;
  const options: TextFormatterOptions = { timestamp: "time", timeZone: null, category: ".", value: toText };
  const format = colors
    ? getAnsiColorFormatter(options as AnsiColorFormatterOptions)
    : getTextFormatter(options);
  return (record) => format({ ...record, message: record.message.map(escapeText) });
}

function toText(value: unknown, inspect: (value: unknown) => string): string {
  return typeof value === "string" ? value : escapeControls(inspect(value));
}

function escapeText(part: unknown): unknown {
  return typeof part === "string" ? escapeControls(part) : part;
}

/**
 * Writes synchronously: a line is written before the process can die, and nothing pending keeps the process alive. A
 * line is lost when the log's reader is gone (EPIPE), or when a pipe that does not block, such as Node's stderr, stays
 * full (EAGAIN): a log must not stop deliveries.
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
