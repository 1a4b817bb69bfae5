import assert from "node:assert/strict";
import { test } from "node:test";
import * as openTelemetry from "@opentelemetry/api";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool, stop } from "../../support/spool.ts";
import { traced } from "../../support/tracing.ts";

const LIMIT = { timeout: 300_000 };

test(
  "a publisher that was started with an SDK links its requests to the spans of another process",
  LIMIT,
  async () => {
    using tracing = traced();
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    using queue = new EventQueue("main", serializeJsonEvent, { directory: spool.directory, openTelemetry });
    const put = await tracing.span(() => queue.put({ n: 1 }));

    const args = spool.publisherArgs({ "collector.hostname": `127.0.0.1:${collector.port}` });
    await using publisher = start("test/support/programs/traced_publisher.ts", args);
    await eventually("an empty queue", () => queue.depth() === 0);
    assert.equal(await stop(publisher), 0);

    assert.deepEqual(collector.acceptedNumbers, [1]);
    const spans = publisher.stdout.filter((line) => line.includes('"span"'));
    assert.deepEqual(
      spans.map((line) => JSON.parse(line)),
      [{ span: "eventspool publish", links: [put.spanId] }],
      "reported before the process ends",
    );
  },
);
