import { configureSync, type LogRecord } from "@logtape/logtape";

/** Everything that is logged from now on, as it comes; `resetSync` of @logtape/logtape ends it. */
export function captureLog(): LogRecord[] {
  const records: LogRecord[] = [];
  configureSync({
    reset: true,
    sinks: { memory: (record) => records.push(record) },
    loggers: [
      { category: "eventspool", lowestLevel: "debug", sinks: ["memory"] },
      { category: ["logtape", "meta"], sinks: [] },
    ],
  });
  return records;
}
