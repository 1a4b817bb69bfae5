import type { SinkConfig } from "../../config/sink_config.ts";
import { JsonlSink } from "./jsonl.ts";
import type { Sink } from "./sink.ts";
import { SqliteSink } from "./sqlite.ts";

/**
 * Opens the sink that a configuration asks for.
 *
 * @throws {EventStorageError} rejects with it when it cannot be opened
 */
export async function openSink(config: SinkConfig): Promise<Sink> {
  switch (config.kind) {
    case "file":
      return new JsonlSink(config.path, config);
    case "sqlite":
      return new SqliteSink(config.path, config);
    case "nats": {
      const { NatsSink } = await import("./nats.ts");
      return new NatsSink(config);
    }
  }
}
