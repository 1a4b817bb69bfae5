/** From a configuration to a sink. */
import type { SinkConfig } from "../../config/sink_config.ts";
import { ConfigurationError } from "../../errors.ts";
import { describe } from "../../format.ts";
import type { Sink } from "./sink.ts";

/**
 * Opens the sink that a configuration describes. Only that sink's code is loaded.
 *
 * @throws {EventStorageError} (rejects) it cannot be opened
 * @throws {ConfigurationError} (rejects) an option is not valid
 */
export async function openSink(config: SinkConfig): Promise<Sink> {
  switch (config.kind) {
    case "file": {
      const { kind: _kind, path, ...options } = config;
      return new (await import("./jsonl.ts")).JsonlSink(path, options);
    }
    case "sqlite": {
      const { kind: _kind, path, ...options } = config;
      return new (await import("./sqlite.ts")).SqliteSink(path, options);
    }
    case "nats":
      return new (await import("./nats.ts")).NatsSink(config);
    case "postgres":
      return new (await import("./postgres.ts")).PostgresSink(config);
    default: // of a program without types
      throw new ConfigurationError(`must be file, sqlite, nats or postgres, got ${describe(config)}`, {
        key: "kind",
      });
  }
}
