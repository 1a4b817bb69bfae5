import type { SinkConfig } from "../config/sink_config.ts";
import { JsonLinesSink } from "./json_lines_sink.ts";
import type { Sink } from "./sink.ts";
import { SqliteSink } from "./sqlite_sink.ts";

/**
 * Opens the sink that a configuration asks for.
 *
 * @throws {EventStorageError} rejects with it when it cannot be opened
 */
export async function openSink(config: SinkConfig): Promise<Sink> {
  switch (config.kind) {
    case "file":
      return new JsonLinesSink(config.path, config);
    case "sqlite":
      return new SqliteSink(config.path, config);
    case "nats": {
      const { NatsSink } = await import("./nats_sink.ts");
      return new NatsSink(config);
    }
  }
}
