/** Sends a metric by address and by name, and closes neither client. */
import { StatsdClient } from "../../../src/metrics/statsd.ts";

for (const host of ["127.0.0.1", "localhost"]) {
  const client = new StatsdClient({ namespace: "", endpoint: { host, port: 8125 } });
  client.counter("sent");
}
