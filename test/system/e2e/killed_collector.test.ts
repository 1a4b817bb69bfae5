import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { SINK_KINDS } from "../../support/sinks.ts";
import { addressOf, type Settings, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };
const KILLS = 6;
const EVENTS = 400;

const SINKS: Readonly<Record<"file" | "sqlite", { readonly name: string; readonly settings: Settings }>> = {
  file: { name: "events.jsonl", settings: { "output.rotate_size": "1MiB" } },
  sqlite: { name: "events.db", settings: {} },
};

for (const [sink, { name, settings }] of Object.entries(SINKS))
  test(
    `${sink}: each event that was put is kept exactly once, though the collector is killed ${KILLS} times`,
    LIMIT,
    async () => {
      using spool = new Spool();
      const output = join(spool.directory, name);
      const open = (listen: string) => spool.collector({ sink, output, listen, ...settings });
      const [port] = await freePorts(1);
      const listen = `127.0.0.1:${port}`;
      await using publisher = spool.publisher({ "collector.hostname": listen, "batch.max_bytes": "110kB" });
      for (let kill = 0; kill < KILLS; kill++) {
        await using collector = open(listen);
        await addressOf(collector);
        const depth = spool.queue.depth() + EVENTS; // asked after the put, all may be delivered
        spool.put(EVENTS, { text: "x".repeat(2_000) });
        await eventually("a delivery", () => spool.queue.depth() < depth);
        await sleep(Math.random() * 20);
        assert.equal(await stop(collector, "SIGKILL"), "SIGKILL");
      }

      await using collector = open(listen);
      await addressOf(collector); // the queue may be empty before it starts
      await eventually("an empty queue", () => spool.queue.depth() === 0);
      assert.equal(await stop(publisher), 0);
      assert.equal(await stop(collector), 0);
      const kept = SINK_KINDS[sink as keyof typeof SINKS].read(spool.directory);
      const numbers = kept.map((event) => (JSON.parse(event) as { n: number }).n);
      assert.deepEqual(
        numbers.toSorted((a, b) => a - b),
        numbersFrom(1, KILLS * EVENTS),
      );
    },
  );
