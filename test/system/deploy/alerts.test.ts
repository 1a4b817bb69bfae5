import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DiscardPolicy } from "@nats-io/jetstream";
import Database from "better-sqlite3";
import { Hono } from "hono";
import { parse } from "yaml";
import { collectorAdmin } from "../../../src/collector/admin.ts";
import { collector as collectorApp } from "../../../src/collector/app.ts";
import { CollectorStatus } from "../../../src/collector/status.ts";
import { EventQueueFullError, EventTooLargeError } from "../../../src/errors.ts";
import { serveApp } from "../../../src/server/serve.ts";
import { memorySink } from "../../support/collector.ts";
import { PUBLISHER, writeIni } from "../../support/config.ts";
import { readDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { connectTo } from "../../support/raw_http.ts";
import { ACCEPT, HANG, heldBack, ScriptedCollector } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { signatureOf, signedBatch } from "../../support/signed.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { type Settings, Spool } from "../../support/spool.ts";
import { NO_PROMETHEUS, type PrometheusServer, startPrometheus } from "./prometheus_server.ts";

const skip = NO_PROMETHEUS;
const OTHER_KEY = Buffer.from("another key").toString("base64");

/** The alerts that the tests below have seen. */
const fired = new Set<string>();
const resolved = new Set<string>();

/** Resolves when the alerts fire, all at the same time or not. */
async function fires(prometheus: PrometheusServer, ...alerts: string[]): Promise<void> {
  await prometheus.fires(...alerts.map((name) => `Eventspool${name}`));
  for (const name of alerts) fired.add(name);
}

async function resolves(prometheus: PrometheusServer, ...alerts: string[]): Promise<void> {
  await prometheus.resolves(...alerts.map((name) => `Eventspool${name}`));
  for (const name of alerts) resolved.add(name);
}

/**
 * Does something again and again, until `until` resolves. A counter must move more than once: a busy machine misses so
 * many scrapes that Prometheus may not see the only time.
 */
async function repeat(act: () => unknown, until: Promise<void>, everyMs = 100): Promise<void> {
  const over = new AbortController();
  const end = until.finally(() => over.abort());
  while (!over.signal.aborted) {
    await act();
    await Promise.race([sleep(everyMs), end]);
  }
  await end;
}

/** `127.0.0.1:PORT`, free now. */
async function freeAddress(): Promise<string> {
  const [port] = await freePorts(1);
  return `127.0.0.1:${port}`;
}

/** A publisher or a collector, always at the same address and with the same file of settings. */
interface Restartable extends AsyncDisposable {
  readonly address: string;
  /** Starts it, again if it ran. Resolves when it serves its metrics. */
  start(changed?: Settings): Promise<Program>;
  /** Changes its settings while it runs. */
  reload(changed: Settings): void;
  kill(): Promise<void>;
}

async function restartable(spool: Spool, section: string, settings: Settings): Promise<Restartable> {
  const isPublisher = section.startsWith("event-publisher");
  const address = await freeAddress();
  const path = join(spool.directory, `${address}.ini`);
  const write = (changed: Settings): void => {
    const all = { ...settings, ...changed, [isPublisher ? "admin.listen" : "listen"]: address };
    writeIni(path, section, all);
  };
  let program: Program | undefined;
  const kill = async (): Promise<void> => {
    await program?.[Symbol.asyncDispose]();
  };
  return {
    address,
    start: async (changed = {}) => {
      await kill();
      write(changed);
      program = start(`src/commands/${isPublisher ? "publisher" : "collector"}.ts`, [path]);
      await program.line(isPublisher ? /"Admin at / : /"Collecting at /);
      return program;
    },
    reload: (changed) => {
      write(changed);
      program?.signal("SIGHUP");
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

/** The real publisher of the queue, to a collector at an address. */
function publisherTo(address: string, spool: Spool, settings: Settings = {}): Promise<Restartable> {
  return restartable(spool, "event-publisher:main", {
    ...PUBLISHER,
    "collector.hostname": address,
    "collector.timeout": "10s", // as operators have it
    "queue.directory": spool.directory,
    ...settings,
  });
}

/** The real collector. */
function collectorIn(spool: Spool, settings: Settings = {}): Promise<Restartable> {
  return restartable(spool, "event-collector", {
    output: spool.collected,
    [`key.${KEY.name}`]: KEY_BASE64,
    ...settings,
  });
}

const begin = Promise.withResolvers<void>();

/** A test that begins with the first of them, not after the one before: each mostly waits. */
function scene(name: string, { skip }: { skip: string | false | undefined }, run: () => Promise<void>): void {
  const played = skip ? undefined : begin.promise.then(run);
  played?.catch(() => {}); // its test says so
  test(name, { skip, timeout: 900_000 }, () => {
    begin.resolve();
    return played;
  });
}

scene("a collector that goes away, until the queue is full", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await collectorIn(spool);
  await using publisher = await publisherTo(collector.address, spool, { max_queue_size: 2_000 });
  await collector.start();
  await publisher.start();
  await prometheus.scrape("eventspool-collector", collector.address);
  await prometheus.scrape("eventspool", publisher.address);
  await resolves(prometheus, "CollectorAbsent", "PublisherAbsent"); // there was neither

  await collector.kill();
  let cap = 2_000;
  const put = (): void => {
    if (spool.queue.depth() > 0.9 * cap) {
      cap *= 2; // it fills as long as it takes
      spool.cap(cap);
    }
    spool.put(cap / 200);
  };
  const alerts = ["CollectorAbsent", "CollectorDown", "QueueFilling", "OldestEventTooOld", "Failing"];
  await repeat(put, fires(prometheus, ...alerts));
  await repeat(
    () => assert.throws(() => spool.put(cap), EventQueueFullError),
    fires(prometheus, "PutsRejected"),
  );

  await collector.start();
  publisher.reload({});
  await resolves(prometheus, ...alerts, "PutsRejected");
});

scene("a key that the collector does not know", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await collectorIn(spool);
  await using publisher = await publisherTo(collector.address, spool);
  await collector.start();
  await publisher.start({ "key.secret": OTHER_KEY });
  await prometheus.scrape("eventspool-collector", collector.address);
  await prometheus.scrape("eventspool", publisher.address);
  spool.put(1);
  await fires(prometheus, "Misconfigured");
  const wrong = { ...signedBatch("[]"), headers: { "X-Signature": signatureOf("other") } };
  await repeat(
    () => fetch(`http://${collector.address}/v2j`, wrong),
    fires(prometheus, "CollectorUnauthorized"),
  );
  publisher.reload({ "key.secret": KEY_BASE64 });
  await resolves(prometheus, "Misconfigured", "CollectorUnauthorized");
});

scene("configurations that cannot be used when they are read again", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await collectorIn(spool);
  await using publisher = await publisherTo(collector.address, spool);
  await collector.start();
  await publisher.start();
  await prometheus.scrape("eventspool-collector", collector.address);
  await prometheus.scrape("eventspool", publisher.address);
  publisher.reload({ "batch.max_age": "never" });
  collector.reload({ max_requests: "many" });
  await fires(prometheus, "ReloadFailed", "CollectorReloadFailed");
  publisher.reload({});
  collector.reload({});
  await resolves(prometheus, "ReloadFailed", "CollectorReloadFailed");
});

scene("a queue's file that was set back", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  await using publisher = await publisherTo(`127.0.0.1:${collector.port}`, spool);
  await publisher.start();
  await prometheus.scrape("eventspool", publisher.address);
  const sent = new Set<number>();
  collector.script = ({ numbers }) => {
    const duplicates = numbers.filter((n) => !sent.has(n)).length;
    for (const n of numbers) sent.add(n);
    return { status: 200, body: JSON.stringify({ accepted: numbers.length, duplicates }) };
  };
  await repeat(() => spool.put(1), fires(prometheus, "RolledBack"), 2_000);
  await eventually("it is sent again", () => spool.queue.depth() === 0);
  await resolves(prometheus, "RolledBack");
});

scene("more connections to a collector than it may have", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await collectorIn(spool, { max_connections: 8 });
  await collector.start();
  await prometheus.scrape("eventspool-collector", collector.address);
  const connect = (): Promise<unknown> => connectTo(`http://${collector.address}`);
  await repeat(connect, fires(prometheus, "CollectorConnectionsCut"));
  await resolves(prometheus, "CollectorConnectionsCut");
});

scene("events at fault: one, more than are kept, and all", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await collectorIn(spool);
  await using publisher = await publisherTo(collector.address, spool, {
    "collector.version": "2",
    "dead_letters.max_count": 1,
    "dead_letters.max_share": "100%",
  });
  await collector.start();
  await publisher.start();
  await prometheus.scrape("eventspool-collector", collector.address);
  await prometheus.scrape("eventspool", publisher.address);
  const tooLarge = { text: "x".repeat(200_000) };
  const put = (): void => assert.throws(() => spool.queue.put(tooLarge), EventTooLargeError);
  await repeat(put, fires(prometheus, "EventsInvalid"));

  const putBad = (): void => spool.queue.put({ 1: { i64: "no number" } });
  const alerts = ["DeadLettersGrowing", "CollectorRejecting", "DeadLettersDropped"];
  await repeat(putBad, fires(prometheus, ...alerts), 1_000);
  publisher.reload({ "dead_letters.max_share": "10%" });
  spool.put(200); // no Thrift structs
  await fires(prometheus, "Held");

  await collector.start({ check_structs: "false" });
  publisher.reload({});
  await resolves(prometheus, "EventsInvalid", ...alerts, "Held");
});

scene(
  "a queue's file that is moved away, and one that somebody reads for long",
  {
    skip,
  },
  async () => {
    await using prometheus = await startPrometheus();
    using spool = new Spool();
    await using collector = await collectorIn(spool);
    await using publisher = await publisherTo(collector.address, spool);
    await collector.start();
    await publisher.start();
    await prometheus.scrape("eventspool", publisher.address);
    const { file } = spool.queue;
    renameSync(file, `${file}.away`);
    await fires(prometheus, "StorageFailing");
    renameSync(`${file}.away`, file);
    await resolves(prometheus, "StorageFailing");

    const reader = new Database(file);
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM eventspool_event").get();
    for (let n = 0; n < 40; n++) spool.queue.put({ text: "x".repeat(100_000) });
    await fires(prometheus, "WalLarge");
    reader.close();
    spool.put(1);
    await resolves(prometheus, "WalLarge");
  },
);

scene("a publisher that dies, one that does not end, and one that is late", { skip }, async () => {
  await using prometheus = await startPrometheus();
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const settings = { "publisher.grace": "10m", "collector.timeout": "10m" };
  await using publisher = await publisherTo(`127.0.0.1:${collector.port}`, spool, settings);
  await using another = await publisherTo(`127.0.0.1:${collector.port}`, spool, settings);
  await publisher.start();
  await prometheus.scrape("eventspool", publisher.address);
  await publisher.kill();
  await fires(prometheus, "PublisherAbsent");
  const program = await publisher.start();
  await resolves(prometheus, "PublisherAbsent");

  collector.script = HANG;
  spool.put(1);
  await prometheus.sees("eventspool_in_flight_batches == 1");
  program.signal("SIGTERM");
  await fires(prometheus, "NotPublishing");
  await publisher.start();
  await resolves(prometheus, "NotPublishing");

  await another.start();
  await prometheus.scrape("eventspool", another.address);
  const loseLease = async (): Promise<void> => {
    const { script, release } = heldBack();
    collector.script = script;
    const before = collector.batches.length;
    spool.put(1);
    spool.expireLeases(); // of what the killed publisher had
    await eventually("a request", () => collector.batches.length > before);
    collector.script = ACCEPT;
    spool.expireLeases();
    await eventually("another request for the same", () => spool.queue.depth() === 0);
    release();
  };
  await repeat(loseLease, fires(prometheus, "LeasesLost"), 2_000);
  await resolves(prometheus, "LeasesLost");
});

scene(
  "a collector's sink that fails, and a collector that is asked too much",
  {
    skip: skip || noSmallDisks,
  },
  async () => {
    await using prometheus = await startPrometheus();
    using spool = new Spool();
    using disk = new SmallDisk(1);
    await using collector = await collectorIn(spool, {
      output: join(disk.path, "events.jsonl"),
      max_requests: 1,
    });
    await collector.start();
    await prometheus.scrape("eventspool-collector", collector.address);
    const url = `http://${collector.address}/v2j`;
    const send = async (headers: Record<string, string> = {}): Promise<void> => {
      const response = await fetch(url, signedBatch(JSON.stringify(["x".repeat(10_000)]), headers));
      await response.body?.cancel();
    };
    await repeat(() => send({ "Event-Ids": "nonsense" }), fires(prometheus, "CollectorIdsIgnored"));

    disk.fill();
    await repeat(send, fires(prometheus, "CollectorSinkFailing"));
    disk.free();
    await repeat(send, resolves(prometheus, "CollectorSinkFailing", "CollectorIdsIgnored"));

    const sendMany = (): Promise<unknown> => Promise.all(Array.from({ length: 10 }, () => send()));
    await repeat(sendMany, fires(prometheus, "CollectorOverloaded"));
    await resolves(prometheus, "CollectorOverloaded");
  },
);

scene("a collector whose own check throws", { skip }, async () => {
  await using prometheus = await startPrometheus();
  const status = new CollectorStatus();
  const keys = new Map([[KEY.name, KEY.secret]]);
  let isBroken = true;
  const validate = (): undefined => {
    if (isBroken) throw new Error("a bug");
  };
  const app = collectorApp({ keys, sink: memorySink([]), status, validate });
  const both = new Hono().route("/", app).get("/metrics", (c) => collectorAdmin(status).fetch(c.req.raw));
  const served = await serveApp(both, { host: "127.0.0.1", port: 0 }, { key: "listen" });
  const { host } = new URL(served.address);
  await prometheus.scrape("eventspool-collector", host);
  const send = async (): Promise<void> => {
    await (await fetch(`http://${host}/v2j`, signedBatch("[1]"))).body?.cancel();
  };
  await repeat(send, fires(prometheus, "CollectorErrors"));
  isBroken = false;
  await repeat(send, resolves(prometheus, "CollectorErrors"));
  await served.close();
});

scene(
  "a JetStream stream that can lose events, and one that does not answer",
  {
    skip: skip || NO_NATS,
  },
  async () => {
    await using prometheus = await startPrometheus();
    await using server = await startNats();
    using spool = new Spool();
    const nats = { "nats.servers": server.address };
    await using collector = await restartable(spool, "event-collector", {
      sink: "nats",
      "nats.timeout": "5m",
      [`key.${KEY.name}`]: KEY_BASE64,
      ...nats,
    });
    await using publisher = await restartable(spool, "event-publisher:main", {
      destination: "nats",
      "queue.directory": spool.directory,
      ...nats,
    });
    {
      await using client = await openNats(server);
      await client.makeStream({ name: "EVENTS", subjects: ["events.>"], discard: DiscardPolicy.Old });
    }
    await collector.start();
    await publisher.start();
    await prometheus.scrape("eventspool-collector", collector.address);
    await prometheus.scrape("eventspool", publisher.address);
    const send = (): Promise<Response> => fetch(`http://${collector.address}/v2j`, signedBatch("[1]"));
    const sendBoth = async (): Promise<void> => {
      spool.put(1); // if the check at the start was too much for a busy server, the next publish checks again
      await (await send()).body?.cancel();
    };
    await repeat(sendBoth, fires(prometheus, "DestinationRisky", "CollectorSinkRisky"), 1_000);

    await server.freeze();
    const sent = send();
    await fires(prometheus, "CollectorStalled");
    server.thaw();
    assert.equal((await sent).status, 200);
    await resolves(prometheus, "CollectorStalled");

    {
      await using client = await openNats(server);
      await client.jsm.streams.update("EVENTS", { discard: DiscardPolicy.New });
    }
    await server.kill();
    await server.start();
    await repeat(sendBoth, resolves(prometheus, "DestinationRisky", "CollectorSinkRisky"), 1_000);
  },
);

test("each alert was seen to fire and to resolve", { skip: skip || NO_NATS || noSmallDisks }, () => {
  const { groups } = parse(readDeployment("prometheus/alerts.yml")) as {
    groups: { rules: { alert: string }[] }[];
  };
  const names = groups
    .flatMap(({ rules }) => rules.map(({ alert }) => alert.replace("Eventspool", "")))
    .sort();
  assert.ok(names.length > 20);
  assert.deepEqual([...fired].sort(), names);
  assert.deepEqual([...resolved].sort(), names);
});
