import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { type PublisherConfig, parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { DEFAULT_MAX_EVENTS } from "../../../src/storage/events.ts";
import { readVectors } from "../../support/vectors.ts";
import { DIFFERENCES, iniOf } from "./differences.ts";
import { collectorOf } from "./support.ts";

interface Outcome {
  readonly ok: boolean;
  readonly error?: string;
  readonly message?: string;
  readonly queue?: readonly [name: string, maxEvents: number, maxEventBytes: number];
  readonly url?: string;
  readonly key_name?: string;
  readonly secret_b64?: string;
  readonly metrics?: {
    readonly transport: "NullTransport" | "RawTransport";
    readonly namespace: string;
    /** `null` where the original's transport does not know it. */
    readonly log_if_unconfigured: boolean | null;
    readonly swallow: boolean | null;
  };
}

interface ConfigVector {
  readonly name: string;
  readonly ini: string;
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly outcome: Outcome;
}

/** Not about the file: the command line's tests have it. */
const COMMAND_LINE_CASES: readonly string[] = ["bad_args_no_file"];

const vectors = readVectors<ConfigVector[]>("config");
const differences = new Map(DIFFERENCES.map((difference) => [difference.vector, difference]));

function read({ ini, env, args }: Pick<ConfigVector, "ini" | "env" | "args">): PublisherConfig {
  const queueName = args[0] === "--queue-name" ? args[1] : undefined;
  return parsePublisherConfig(ini, { file: "f.ini", env, ...(queueName !== undefined && { queueName }) });
}

function rejection(parse: () => unknown): ConfigurationError {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error;
  }
  return assert.fail("was not rejected");
}

/** The key that the original's message is about, if it is about one. */
function keyOf({ error = "", message = "" }: Outcome): string | undefined {
  if (error.endsWith("config.ConfigurationError")) return message.split(":")[0];
  if (error.endsWith("DuplicateOptionError")) return /option '([^']+)'/.exec(message)?.[1];
  // The original looks these two up after its checks, and shows only the value.
  if (error === "builtins.KeyError") return "collector.version";
  if (error === "builtins.UnicodeEncodeError") return "metrics.namespace";
  return undefined;
}

function assertSameReading(config: PublisherConfig, outcome: Outcome): void {
  const { metrics } = outcome;
  const { key, url } = collectorOf(config);
  assert.equal(url, outcome.url);
  assert.equal(key.name, outcome.key_name);
  assert.equal(Buffer.from(key.secret.reveal()).toString("base64"), outcome.secret_b64);
  assert.deepEqual(
    [`/events-${config.queueName}`, config.maxQueueSize ?? DEFAULT_MAX_EVENTS],
    outcome.queue?.slice(0, 2),
  );
  assert.equal(config.metrics.namespace, metrics?.namespace);
  assert.equal(config.metrics.endpoint === undefined ? "NullTransport" : "RawTransport", metrics?.transport);
  assert.equal(
    config.metrics.logIfUnconfigured,
    metrics?.log_if_unconfigured ?? config.metrics.logIfUnconfigured,
  );
  assert.equal(config.metrics.swallowNetworkErrors, metrics?.swallow ?? config.metrics.swallowNetworkErrors);
}

for (const vector of vectors) {
  if (COMMAND_LINE_CASES.includes(vector.name)) continue;
  const difference = differences.get(vector.name);
  if (difference !== undefined) {
    test(`${vector.name} is rejected, unlike in baseplate.py: ${difference.reason}`, () => {
      assert.ok(vector.outcome.ok, "not a difference: the original rejects it too");
      assert.equal(rejection(() => read(vector)).location.key, difference.key);
    });
  } else if (vector.outcome.ok) {
    test(`${vector.name} is read as in baseplate.py`, () => assertSameReading(read(vector), vector.outcome));
  } else {
    test(`${vector.name} is rejected as in baseplate.py, with the same key`, () => {
      assert.equal(rejection(() => read(vector)).location.key, keyOf(vector.outcome));
    });
  }
}

test("every listed difference is a vector", () => {
  const names = new Set(vectors.map(({ name }) => name));
  const apart = [...COMMAND_LINE_CASES, ...DIFFERENCES.flatMap(({ vector }) => vector ?? [])];
  assert.deepEqual(
    apart.filter((name) => !names.has(name)),
    [],
  );
});

for (const { reason, key, settings, env = {}, queueName = "main" } of DIFFERENCES) {
  const shown = queueName === "main" ? JSON.stringify(settings) : JSON.stringify(queueName.slice(0, 20));
  test(`stricter than baseplate.py: ${shown}: ${reason}`, () => {
    const { location } = rejection(() =>
      parsePublisherConfig(iniOf(settings, queueName), { file: "f.ini", env, queueName }),
    );
    assert.equal(location.key, key);
    if (key === undefined) return;
    assert.equal(location.section, "event-publisher:main");
    assert.equal(iniOf(settings).split("\n")[(location.line ?? 0) - 1]?.split(" = ")[0], key);
  });
}
