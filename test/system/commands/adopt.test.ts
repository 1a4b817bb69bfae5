import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ACCEPT, HANG, namedIds, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 120_000 };

test(
  "delivers what a killed publisher left on a volume, under the names that the collector may know",
  LIMIT,
  async () => {
    using spool = new Spool();
    using elsewhere = temporaryDirectory();
    await using collector = await ScriptedCollector.open();
    collector.script = HANG; // it has the batch, and the publisher does not hear of it
    const settings = {
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "batch.max_bytes": "110kB",
      "collector.timeout": "1s",
    };
    spool.put(200, { text: "x".repeat(2_000) });
    {
      await using publisher = spool.quickPublisher({ leaseMarginMs: 100 }, settings);
      await eventually("the first batch", () => collector.batches.length > 0);
      publisher.signal("SIGKILL");
      await publisher.ended;
    }
    const volume = join(elsewhere.path, "volume");
    cpSync(spool.directory, volume, { recursive: true });
    collector.script = ACCEPT;
    const config = spool.publisherArgs(settings).at(-1)!;
    const printed = await eventually("the end of the dead publisher's sign of life", async () => {
      await using adopting = start("src/commands/queue.ts", ["adopt", volume, config]);
      return (await adopting.ended) === 0 ? adopting.stdout : undefined;
    });
    assert.deepEqual(printed, ["main: delivered 200 events, 0 left"]);
    assert.deepEqual(
      [...new Set(collector.acceptedNumbers)].sort((a, b) => a - b),
      numbersFrom(1, 200),
    );
    assert.deepEqual(
      new Set(collector.batches.map(({ eventIds }) => eventIds?.split(":")[0])).size,
      1,
      "one UUID",
    );
    for (const { eventIds, numbers } of collector.batches) assert.deepEqual(namedIds(eventIds), numbers);
  },
);

test("leaves alone a queue that a publisher uses, and one without a section", LIMIT, async () => {
  using spool = new Spool();
  spool.put(1);
  const settings = { "collector.hostname": "127.0.0.1:9" };
  await using publisher = spool.publisher(settings);
  await publishing(publisher);
  const config = spool.publisherArgs(settings).at(-1)!;
  const other = spool.write("other.ini", "event-publisher:other", {});
  await eventually("a sign of life", async () => {
    await using adopting = start("src/commands/queue.ts", ["adopt", spool.directory, config]);
    await adopting.ended;
    return /^main: left alone: a publisher uses it \(process \d+\)/.test(adopting.stdout.join());
  });
  publisher.signal("SIGTERM");
  await publisher.ended;
  await using adopting = start("src/commands/queue.ts", ["adopt", spool.directory, other]);
  assert.equal(await adopting.ended, 1);
  assert.match(adopting.stdout.join(), /^main: left alone: .*event-publisher:main/);
});
