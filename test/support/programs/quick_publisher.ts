/**
 * `quick_publisher.ts TIMINGS --directory DIR CONFIG_FILE`: a publisher as the command runs it, with other
 * {@link Timings}, as JSON, such as `{"leaseMarginMs":100}`.
 */
import { argv } from "node:process";
import { parseArgs } from "node:util";
import { runCommand, stopOnSignals } from "../../../src/commands/command.ts";
import { configureLogging } from "../../../src/commands/logging.ts";
import { PublisherSession } from "../../../src/commands/publisher_session.ts";
import { loadPublisherConfig } from "../../../src/config/publisher_config.ts";
import type { Timings } from "../../../src/publisher/waiting.ts";

await runCommand("publisher", async () => {
  const [text = "{}", ...args] = argv.slice(2);
  const { values, positionals } = parseArgs({
    args,
    options: { directory: { type: "string" } },
    allowPositionals: true,
  });
  const { directory } = values;
  const config = { ...loadPublisherConfig(positionals[0]!), ...(directory !== undefined && { directory }) };
  configureLogging({ debug: false });
  const stop = stopOnSignals();
  const session = await PublisherSession.open(config, { timings: JSON.parse(text) as Partial<Timings> });
  await session.run(stop);
  await session.admin?.close();
});
