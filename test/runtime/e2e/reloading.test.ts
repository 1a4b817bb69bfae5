import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, publishing, type Settings, Spool, stop } from "../../support/spool.ts";

const LIMIT = { timeout: 300_000 };

interface Reloadable extends Program {
  rewrite(settings: Settings): void;
  /** Sends SIGHUP, and resolves when it has been seen. */
  reload(seen: RegExp): Promise<string>;
}

/** A publisher whose configuration can be changed. */
function startPublisher(spool: Spool, settings: Settings): Reloadable {
  const args = spool.publisherArgs(settings);
  const rewrite = (changed: Settings) => copyFileSync(spool.publisherArgs(changed).at(-1)!, args.at(-1)!);
  const program = start("src/commands/publisher.ts", args);
  const reload = async (seen: RegExp): Promise<string> => {
    const before = program.stderr.length;
    program.signal("SIGHUP");
    const lines = () => program.stderr.slice(before);
    return await eventually(`${seen}`, () => lines().find((line) => seen.test(line))).catch((error) => {
      throw new Error(`${error.message}, and found ${lines().join()}`);
    });
  };
  return { ...program, rewrite, reload };
}

function settingsOf(collector: ScriptedCollector): Settings {
  return { "collector.hostname": `127.0.0.1:${collector.port}` };
}

/** A port that somebody else listens on. */
async function takenPort(): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function healthAt(address: URL): Promise<{ status: string; reasons: string[]; reload_error: string }> {
  const response = await fetch(new URL("/health", address));
  return (await response.json()) as { status: string; reasons: string[]; reload_error: string };
}

async function metricAt(address: URL): Promise<string | undefined> {
  const text = await (await fetch(new URL("/metrics", address))).text();
  return /^eventspool_reload_failed\{.*\} (\d)$/m.exec(text)?.[1];
}

const delivered = (spool: Spool) => eventually("an empty queue", () => spool.queue.depth() === 0);

test("reads its configuration again on SIGHUP, and loses and repeats nothing", LIMIT, async () => {
  using spool = new Spool();
  await using before = await ScriptedCollector.open();
  await using after = await ScriptedCollector.open();
  await using publisher = startPublisher(spool, settingsOf(before));
  await publishing(publisher);
  spool.put(100);
  await eventually("the first events", () => before.acceptedNumbers.length > 0);

  publisher.rewrite(settingsOf(after));
  publisher.signal("SIGHUP");
  await publisher.line(new RegExp(`Publishing .*http://127.0.0.1:${after.port}/`));
  spool.put(100);
  await delivered(spool);

  assert.equal(before.acceptedNumbers.length + after.acceptedNumbers.length, 200);
  assert.ok(after.acceptedNumbers.length >= 100);
  assert.equal(await stop(publisher), 0);
});

test("keeps the old configuration, and says so, when the new one cannot be used", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using taken = await takenPort();
  const good = { ...settingsOf(collector), "admin.listen": "127.0.0.1:0" };
  await using publisher = startPublisher(spool, good);
  const address = await addressOf(publisher);

  const secret = join(spool.directory, "secret");
  writeFileSync(secret, "c2VjcmV0\n", { mode: 0o000 });
  const unusable: [name: string, settings: Settings, problem: RegExp][] = [
    ["a value that cannot be read", { ...good, "batch.max_age": "soon" }, /batch\.max_age/],
    ["no collector", { "admin.listen": "127.0.0.1:0" }, /collector\.hostname/],
    ["a taken port", { ...good, "admin.listen": `127.0.0.1:${taken.port}` }, /address is in use/],
    [
      "a host of others",
      { ...good, "admin.listen": "192.0.2.1:9900", "admin.token": "t".repeat(32) },
      /does not have the address/,
    ],
    [
      "a socket without a directory",
      { ...good, "admin.listen": "/nowhere/admin.sock" },
      /the directory \/nowhere does not exist/,
    ],
    ["a metrics endpoint without a port", { ...good, "metrics.endpoint": "127.0.0.1" }, /metrics\.endpoint/],
    ["no secret file", { ...good, "key.secret": "", "key.secret_file": "/nowhere/key" }, /does not exist/],
    ["two secrets", { ...good, "key.secret_file": secret }, /key\.secret/],
    [
      "no file of a service",
      { ...good, "queue.file": join(spool.directory, "none.db") },
      /two places|none\.db/,
    ],
  ];
  if (process.getuid?.() !== 0)
    unusable.push([
      "a secret file of others",
      { ...good, "key.secret": "", "key.secret_file": secret },
      /denied/,
    ]);
  for (const [name, settings, problem] of unusable) {
    publisher.rewrite(settings);
    assert.match(await publisher.reload(/SIGHUP: going on/), problem, name);
    spool.put(10);
    await delivered(spool);
    const health = await healthAt(address);
    assert.equal(health.status, "degraded", name);
    assert.match(health.reasons.join(), /new configuration cannot be used/);
    assert.match(health.reload_error, problem);
    assert.equal(await metricAt(address), "1");
  }

  publisher.rewrite(good);
  await publisher.reload(/SIGHUP: nothing has changed/);
  assert.deepEqual((await healthAt(address)).reasons, []);
  assert.equal(await metricAt(address), "0");
  const { acceptedNumbers } = collector;
  assert.equal(acceptedNumbers.length, 10 * unusable.length);
  assert.equal(new Set(acceptedNumbers).size, acceptedNumbers.length, "each once");
  assert.equal(await stop(publisher), 0);
});

test("keeps the old directory when the queue's new one cannot be used", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const good = { ...settingsOf(collector), "queue.directory": spool.directory };
  const file = spool.publisherArgs(good).at(-1)!;
  const rewrite = (settings: Settings) => copyFileSync(spool.publisherArgs(settings).at(-1)!, file);
  await using publisher = start("src/commands/publisher.ts", [file]);
  await publishing(publisher);
  const locked = join(spool.directory, "locked");
  writeFileSync(locked, "");
  chmodSync(locked, 0o444);
  const foreign = join(spool.directory, "foreign");
  mkdirSync(foreign);
  writeFileSync(join(foreign, "events-main.db"), "no database, but long enough for one. ".repeat(200));
  const directories = [join(spool.directory, "missing"), locked, foreign];
  for (const directory of directories) {
    const before = publisher.stderr.length;
    rewrite({ ...good, "queue.directory": directory });
    publisher.signal("SIGHUP");
    const line = await eventually("the complaint", () =>
      publisher.stderr.slice(before).find((text) => text.includes("SIGHUP: going on")),
    );
    assert.match(line, /does not exist|is not a directory|is not a queue file/);
    spool.put(10);
    await delivered(spool);
  }
  assert.equal(collector.acceptedNumbers.length, 10 * directories.length);
  assert.equal(await stop(publisher), 0);
});

test("a reload that changes nothing changes nothing", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using publisher = startPublisher(spool, { ...settingsOf(collector), "admin.listen": "127.0.0.1:0" });
  const address = await addressOf(publisher);
  spool.put(10);
  await delivered(spool);
  for (let n = 0; n < 3; n++) await publisher.reload(/SIGHUP: nothing has changed/);
  const response = (await (await fetch(new URL("/health", address))).json()) as { delivered: number };
  assert.equal(response.delivered, 10, "the same publisher");
  assert.equal(publisher.stderr.filter((line) => line.includes('"Publishing queue')).length, 1);
  assert.equal(await stop(publisher), 0);
});

test(
  "moves its admin address, also to another host of the same port, and back when that fails",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    const [port] = await freePorts(1);
    const at = (listen: string) => ({
      ...settingsOf(collector),
      "admin.listen": listen,
      "admin.token": "0123456789abcdef0123456789abcdef",
    });
    await using publisher = startPublisher(spool, at(`127.0.0.1:${port}`));
    await publishing(publisher);
    const isReady = () =>
      fetch(`http://127.0.0.1:${port}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      );
    await eventually("the admin routes", isReady);

    publisher.rewrite(at(`192.0.2.1:${port}`));
    await publisher.reload(/SIGHUP: going on/);
    await eventually("the admin routes, as they were", isReady);

    publisher.rewrite(at(`0.0.0.0:${port}`));
    await publisher.reload(/"Publishing queue/);
    await eventually("the admin routes", isReady);
    spool.put(10);
    await delivered(spool);
    assert.equal(await stop(publisher), 0);
  },
);

test("any number of SIGHUPs in a row lose and repeat nothing", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using publisher = startPublisher(spool, settingsOf(collector));
  await publishing(publisher);
  for (let n = 1; n <= 10; n++) {
    publisher.rewrite({ ...settingsOf(collector), "batch.max_age": `${n}ms` });
    publisher.signal("SIGHUP");
    publisher.signal("SIGHUP");
    spool.put(20);
  }
  await delivered(spool);
  const { acceptedNumbers } = collector;
  assert.deepEqual([acceptedNumbers.length, new Set(acceptedNumbers).size], [200, 200]);
  assert.equal(await stop(publisher), 0);
});
