import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, publishing, type Settings, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 600_000 };

const OLD = { name: "web-1", secret: Buffer.from("the old key, which has leaked").toString("base64") };
const NEW = { name: "web-2", secret: Buffer.from("the new key, which has not").toString("base64") };

/** A collector that knows these keys, at the address of the one before. */
function startCollector(spool: Spool, port: number, keys: readonly (typeof OLD)[]): Program {
  const known = Object.fromEntries(keys.map(({ name, secret }) => [`key.${name}`, secret]));
  const settings = { listen: `127.0.0.1:${port}`, output: spool.collected, ...known };
  return start("src/commands/collector.ts", [spool.write("keys.ini", "event-collector", settings)]);
}

function settingsOf(port: number, { name, secret }: typeof OLD): Settings {
  return { "collector.hostname": `127.0.0.1:${port}`, "key.name": name, "key.secret": secret };
}

/** The numbers of the events that the collector has kept, in order, each once. */
function collectedNumbers(spool: Spool): number[] {
  const lines = readFileSync(spool.collected, "utf8").trimEnd().split("\n");
  return [...new Set(lines.map((line) => (JSON.parse(line) as { n: number }).n))].sort((a, b) => a - b);
}

/** Puts events, and waits until all that were put are delivered. */
async function deliver(spool: Spool, count: number): Promise<void> {
  spool.put(count);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
}

test(
  "a key is replaced, in the order of docs/production.md, and no event is lost or rejected",
  LIMIT,
  async () => {
    using spool = new Spool();
    const [port = 0] = await freePorts(1);
    await using first = startCollector(spool, port, [OLD]);
    await addressOf(first);
    const args = spool.publisherArgs(settingsOf(port, OLD));
    await using publisher = start("src/commands/publisher.ts", args);
    await publishing(publisher);
    await deliver(spool, 100);

    await stop(first);
    spool.put(100); // while no collector is there
    await using both = startCollector(spool, port, [OLD, NEW]);
    await addressOf(both);
    await deliver(spool, 100);

    copyFileSync(spool.publisherArgs(settingsOf(port, NEW)).at(-1)!, args.at(-1)!);
    publisher.signal("SIGHUP");
    await eventually("the reload", () => publisher.stderr.filter((line) => isStart(line)).length === 2);
    await deliver(spool, 100);

    await stop(both);
    await using last = startCollector(spool, port, [NEW]);
    await addressOf(last);
    await deliver(spool, 100);

    assert.equal(await stop(publisher), 0);
    assert.deepEqual(
      collectedNumbers(spool),
      Array.from({ length: 500 }, (_, at) => at + 1),
    );
    assert.deepEqual(spool.deadLetters(), []);
    assert.ok(!publisher.stderr.some((line) => line.includes("our key is wrong")));
  },
);

test(
  "a key that was taken from the collector too early keeps the events, until the publisher has the new one",
  LIMIT,
  async () => {
    using spool = new Spool();
    const [port = 0] = await freePorts(1);
    await using collector = startCollector(spool, port, [NEW]);
    await addressOf(collector);
    const args = spool.publisherArgs(settingsOf(port, OLD));
    await using publisher = start("src/commands/publisher.ts", args);
    spool.put(100);
    await publisher.line(/our key is wrong/);
    assert.equal(spool.queue.depth(), 100);

    copyFileSync(spool.publisherArgs(settingsOf(port, NEW)).at(-1)!, args.at(-1)!);
    publisher.signal("SIGHUP");
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(await stop(publisher), 0);
    assert.equal(collectedNumbers(spool).length, 100);
    assert.deepEqual(spool.deadLetters(), []);
  },
);

function isStart(line: string): boolean {
  return line.includes('"Publishing queue ');
}
