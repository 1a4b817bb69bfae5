/** Sends metrics to the port that is its argument, prints what is logged, and ends: for a Deno that may do little. */
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { configureSync } from "@logtape/logtape";
import { StatsdClient } from "../../../src/metrics/statsd.ts";

configureSync({
  sinks: { stdout: ({ message }) => console.log(message.join("")) },
  loggers: [
    { category: "eventspool", lowestLevel: "warning", sinks: ["stdout"] },
    { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["stdout"] },
  ],
});
const client = new StatsdClient({
  namespace: "",
  endpoint: { host: "127.0.0.1", port: Number(process.argv[2]) },
});
for (let turn = 0; turn < 100; turn++) {
  client.counter("sent");
  await setImmediate();
}
await client.close();
console.log("went on");
