/**
 * The configuration of the collector that comes with eventspool: section `[event-collector]` of an
 * INI or TOML file, which may be the publisher's file too.
 *
 * @module
 */

import { MAX_BATCH_BYTES, MAX_MAX_BODY_BYTES } from "../limits.ts";
import { type ListenAddress, parseListenAddress } from "./addresses.ts";
import { openSection, type ParseOptions, readConfigFile } from "./config_file.ts";
import type { ConfigSection } from "./config_section.ts";
import type { Env } from "./expand_vars.ts";
import { parseSecret, type Secret } from "./secret.ts";
import { readSink, type SinkConfig } from "./sink_config.ts";
import { bytesIn, optional } from "./values.ts";

/** A collector's configuration, checked and complete. */
export interface CollectorConfig {
  /** `listen`: where batches are received. Default: 127.0.0.1:9800. */
  readonly listen: ListenAddress;
  /**
   * `key.NAME = BASE64`, one or more: the secrets by the name that publishers sign with. Several let
   * a key be replaced while publishers still use the old one. NAME keeps its case, but two names may
   * not differ by case alone in an INI file, and NAME cannot hold `=` or `:` there.
   */
  readonly keys: ReadonlyMap<string, Secret>;
  /** `sink`, `output`, `output.*`: where events are kept. Default: the file `events.jsonl`. */
  readonly sink: SinkConfig;
  /** `max_body_size`: the largest body after decompression, in bytes. Default: 512,000. */
  readonly maxBodyBytes: number;
  /** What is allowed but likely not meant, one sentence each. */
  readonly warnings: readonly string[];
}

const SECTION = "event-collector";
const KEY_PREFIX = "key.";
const DEFAULT_LISTEN: ListenAddress = { host: "127.0.0.1", port: 9_800 };

/**
 * Reads a collector's configuration from a file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} naming file, section, key and line where they are known. It never
 * shows a secret.
 */
export function loadCollectorConfig(path: string, options: { readonly env?: Env } = {}): CollectorConfig {
  const { text, ...read } = readConfigFile(path);
  return parseCollectorConfig(text, { ...options, ...read });
}

/**
 * Reads a collector's configuration from text.
 *
 * @throws {ConfigurationError} as {@link loadCollectorConfig} does.
 */
export function parseCollectorConfig(text: string, options: ParseOptions = {}): CollectorConfig {
  const section = openSection(text, [SECTION], options);
  return {
    listen: section.read("listen", optional(parseListenAddress, DEFAULT_LISTEN)),
    keys: readKeys(section),
    sink: readSink(section),
    maxBodyBytes: section.read(
      "max_body_size",
      optional(bytesIn({ min: 1, max: MAX_MAX_BODY_BYTES }), MAX_BATCH_BYTES),
    ),
    warnings: section.finish(),
  };
}

function readKeys(section: ConfigSection): Map<string, Secret> {
  const keys = new Map<string, Secret>();
  for (const [name, key] of section.keysUnder(KEY_PREFIX)) {
    if (name === "") throw section.error(key, "expected key.NAME = BASE64: the name is missing");
    keys.set(name, section.read(key, parseSecret, { isSecret: true }));
  }
  if (keys.size === 0) throw section.error("key.NAME", "expected one or more keys: key.NAME = BASE64");
  return keys;
}
