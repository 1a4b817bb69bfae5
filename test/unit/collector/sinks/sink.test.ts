import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openSink } from "../../../../src/collector/sinks/open_sink.ts";
import { parseCollectorConfig } from "../../../../src/config/collector_config.ts";
import { numberedBatch } from "../../../support/batches.ts";
import { SINK_KINDS } from "../../../support/sinks.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

for (const [kind, output] of [
  ["file", "events.jsonl"],
  ["sqlite", "events.db"],
] as const)
  test(`openSink opens the sink of the configuration: ${kind}`, async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, output);
    const text = `[event-collector]\nkey.K = aGk=\nsink = ${kind}\noutput = ${path}\n`;
    const sink = await openSink(parseCollectorConfig(text, { env: {} }).sink);
    assert.ok(existsSync(path));
    await sink.store(numberedBatch(1, 2));
    await sink.close();
    assert.deepEqual(SINK_KINDS[kind].read(directory.path), ["1", "2"]);
  });
