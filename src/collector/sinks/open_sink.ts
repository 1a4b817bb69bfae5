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
      return new JsonlSink(config.path, optionsOf(config));
    case "sqlite":
      return new SqliteSink(config.path, optionsOf(config));
    case "nats": {
      const { NatsSink } = await import("./nats.ts");
      return new NatsSink(config);
    }
    case "postgres": {
      const { PostgresSink } = await import("./postgres.ts");
      return new PostgresSink(config);
    }
  }
}

function optionsOf<Config extends { kind: unknown; path: unknown }>(
  config: Config,
): Omit<Config, "kind" | "path"> {
  const { kind: _kind, path: _path, ...options } = config;
  return options;
}
