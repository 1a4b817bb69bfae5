import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { SubscriptionTable } from "../../../src/storage/subscriptions.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { ACCEPT, HANG, namedIds, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { publishing, type Settings, Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 600_000 };

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
    // Without the sign, it would try to deliver for five minutes.
    await using adopting = start("src/commands/queue.ts", ["adopt", spool.directory, config, "--wait", "1s"]);
    await adopting.ended;
    return /^main: skipped: a publisher uses it \(process \d+\)/.test(adopting.stdout.join());
  });
  publisher.signal("SIGTERM");
  await publisher.ended;
  await using adopting = start("src/commands/queue.ts", ["adopt", spool.directory, other]);
  assert.equal(await adopting.ended, 1);
  assert.match(adopting.stdout.join(), /^main: skipped: .*event-publisher:main/);
});

test(
  "serves each subscription with its own configuration, reports those without, and gives up while a collector is down",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const shell = QueueFile.open(spool.queue.file, { busyTimeoutMs: 5_000 });
    for (const name of ["audit", "search"])
      new SubscriptionTable(shell).add(name, { start: "oldest", limit: {} });
    shell.close();
    spool.put(20);
    const configOf = (settings: Settings): string => spool.publisherArgs(settings).at(-1)!;
    const audit = configOf({ "collector.hostname": "127.0.0.1:9", "publisher.subscription": "audit" });
    await eventually("a problem that shows within a second", async () => {
      const args = ["adopt", spool.directory, audit, "--wait", "1s"];
      await using adopting = start("src/commands/queue.ts", args);
      assert.equal(await adopting.ended, 1);
      const [down, ...others] = adopting.stdout;
      const gaveUp =
        /^main, subscription audit: delivered 0 events, 20 left: nothing was delivered for 1s( \(.+\))?; run it again$/;
      const [, reason] = gaveUp.exec(down!) ?? assert.fail(down);
      const problem = "delivered 0 events, 20 left: no configuration file has this publisher.subscription";
      assert.deepEqual(others, [`main: ${problem}`, `main, subscription search: ${problem}`]);
      return reason;
    });
    const settings = { "collector.hostname": `127.0.0.1:${collector.port}` };
    const files = [configOf(settings), configOf({ ...settings, "publisher.subscription": "audit" })];
    await using adopting = start("src/commands/queue.ts", ["adopt", spool.directory, ...files, "--json"]);
    assert.equal(await adopting.ended, 1);
    const lines = adopting.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.map(({ subscription, delivered, dead_letters, left }) => [
        subscription,
        delivered,
        dead_letters,
        left,
      ]),
      [
        ["default", 20, 0, 0],
        ["audit", 20, 0, 0],
        ["search", 0, 0, 20],
      ],
    );
    assert.deepEqual(
      collector.acceptedNumbers.toSorted((a, b) => a - b),
      numbersFrom(1, 20).flatMap((n) => [n, n]),
    );
  },
);
