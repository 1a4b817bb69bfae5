import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSink } from "../../../src/collector/sinks/open_sink.ts";
import { RunningCollector } from "../../../src/commands/running_collector.ts";
import { parseCollectorConfig } from "../../../src/config/collector_config.ts";
import { type EventRows, EventTable, type InsertResult } from "../../../src/postgres/event_table.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { batchOf, queueUuid } from "../../support/batches.ts";
import { iniOf } from "../../support/config.ts";
import { eventually } from "../../support/eventually.ts";
import { NO_POSTGRES, PASSWORD, postgresConfig, startPostgres } from "../../support/postgres.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";
import { freePorts, serveTcp } from "../../support/servers.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const skip = NO_POSTGRES;
const RUNNING = new AbortController().signal;
const CA_FILE = fileURLToPath(new URL("../../support/certificates/ca.pem", import.meta.url));

/** One for all tests, which have tables of their own. */
const server = skip ? undefined! : await startPostgres("fsync=off");
after(() => server?.[Symbol.asyncDispose]());

/** Events with these texts, whose ids begin at `firstId`. */
function rows(texts: readonly string[], firstId = 1, more: Partial<EventRows> = {}): EventRows {
  const ids = texts.map((_, index) => firstId + index);
  return { queue: queueUuid(1), source: "", ids, putAtMs: [], texts, ...more };
}

type Settings = Readonly<Record<string, string>>;

function open(
  table: string,
  settings: Settings = {},
  url: string = server.url(),
): EventTable & AsyncDisposable {
  const config = postgresConfig(url, { "postgres.table": table, ...settings });
  const opened = new EventTable(config, "a test");
  return Object.assign(opened, { [Symbol.asyncDispose]: () => opened.close() });
}

const STORED: InsertResult = { duplicates: 0, rejected: [], failure: undefined };

async function textsOf(table: string): Promise<unknown[]> {
  const found = await server.query(`SELECT event::text FROM ${table} ORDER BY queue, source, id`);
  return found.map(({ event }) => event);
}

for (const partition of ["none", "day"])
  test(`each event is a row, stored once however often it comes (postgres.partition = ${partition})`, {
    skip,
  }, async () => {
    const name = `app.rows_${partition}`;
    await server.query("CREATE SCHEMA IF NOT EXISTS app");
    await using table = open(name, { "postgres.partition": partition });
    const first = rows(['{"n":9007199254740993,"é":"\\""}', "2"], 7, { putAtMs: [1_700_000_000_123, 5] });
    assert.deepEqual(await table.insert(first, RUNNING), STORED);
    assert.deepEqual(await table.insert(rows(["2", "3"], 8), RUNNING), { ...STORED, duplicates: 1 });
    await using another = open(name, { "postgres.partition": partition });
    const elsewhere = [{ source: "key" }, { queue: queueUuid(2) }];
    for (const more of elsewhere)
      assert.deepEqual(await another.insert(rows(["4"], 7, more), RUNNING), STORED);
    const found = await server.query(
      `SELECT queue, id, source, put_at::text, event::text, received_at <= now() AS is_received FROM ${name} ORDER BY event`,
    );
    const times = ["2023-11-14 22:13:20.123+00", "1970-01-01 00:00:00.005+00"];
    const row = { queue: queueUuid(1), source: "", put_at: null, is_received: true };
    assert.deepEqual(
      found.map((each) => ({ ...each })),
      [
        { ...row, id: "8", event: "2", put_at: times[1] },
        { ...row, id: "9", event: "3" },
        { ...row, id: "7", event: "4", source: "key" },
        { ...row, id: "7", event: "4", queue: queueUuid(2) },
        { ...row, id: "7", event: '{"n": 9007199254740993, "é": "\\""}', put_at: times[0] },
      ].sort((one, other) => (one.event < other.event ? -1 : 1)),
    );
  });

for (const partition of ["none", "day"])
  test(`batches of one queue that come at once, over midnight too, leave each event once (postgres.partition = ${partition})`, {
    skip,
  }, async () => {
    const name = `at_once_${partition}`;
    await using table = open(name, { "postgres.partition": partition });
    const texts = Array.from({ length: 300 }, (_, index) => String(index + 1));
    assert.deepEqual(await table.insert(rows(texts.slice(0, 100)), RUNNING), STORED);
    const midnight = "date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
    if (partition === "day")
      await server.query(
        `CREATE TABLE yesterday PARTITION OF ${name} FOR VALUES FROM (MINVALUE) TO (${midnight})`,
      );
    await server.query(`UPDATE ${name} SET received_at = received_at - interval '1 day'`);
    const results = await Promise.all([1, 2, 3].map(() => table.insert(rows(texts), RUNNING)));
    assert.deepEqual(results.map(({ duplicates }) => duplicates).sort(), [100, 300, 300]);
    assert.deepEqual((await textsOf(name)).map(Number), texts.map(Number));
    const found = await server.query(`SELECT DISTINCT received_at > ${midnight} AS is_today FROM ${name}`);
    assert.equal(found.length, 2);
  });

const POISON: Readonly<Record<string, RegExp>> = {
  '{"a":"\\u0000"}': /unsupported Unicode escape sequence \(22P05\)/,
  "[1e400000]": /overflows numeric format \(22003\)/,
  '{"a":': /invalid input syntax for type json \(22P02\)/,
  "1,2": /22P02/,
  '"\\ud800"': /22P02/,
  "1\u0000": /invalid byte sequence/,
  "": /22P02|null value/,
  ["[".repeat(20_000) + "]".repeat(20_000)]: /stack depth limit exceeded/,
  '{"unique":1}': /violates unique constraint/,
  '{"never":1}': /violates check constraint/,
};

for (const partition of ["none", "day"])
  test(`events that the server never accepts are found among 1,500, and no other is lost (postgres.partition = ${partition})`, {
    skip,
  }, async () => {
    const name = `poison_${partition}`;
    await using table = open(name, { "postgres.partition": partition });
    assert.deepEqual(await table.insert(rows(['{"unique":1}'], 1, { source: "x" }), RUNNING), STORED);
    const [leaf] = await server.query(
      `SELECT coalesce((SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '${name}'::regclass), '${name}') AS name`,
    );
    await server.query(
      `CREATE UNIQUE INDEX ON ${leaf!.name} ((event->>'unique')); ALTER TABLE ${name} ADD CHECK (event->'never' IS NULL)`,
    );
    const bad = Object.keys(POISON);
    const texts = Array.from({ length: 1_500 }, (_, index) => String(index));
    for (const [index, text] of bad.entries()) texts[index * 149] = text;
    const { rejected, ...rest } = await table.insert(rows(texts, 100), RUNNING);
    assert.deepEqual(rest, { duplicates: 0, failure: undefined });
    assert.deepEqual(
      rejected.map(({ index }) => index),
      bad.map((_, index) => index * 149),
    );
    for (const [index, pattern] of Object.values(POISON).entries())
      assert.match(rejected[index]!.error, pattern, bad[index]!.slice(0, 20));
    const repaired = await table.insert(
      rows(
        texts.map(() => "0"),
        100,
      ),
      RUNNING,
    );
    assert.deepEqual(repaired, { ...STORED, duplicates: texts.length - bad.length });
  });

/** Asserts that an insert fails so, and that a later one does not once `repair` is done. */
async function assertFails(
  table: EventTable,
  kind: "unavailable" | "misconfigured",
  reason: RegExp,
  repair?: string,
): Promise<void> {
  const { failure } = await table.insert(rows(["1"]), RUNNING);
  assert.ok(failure !== undefined, String(reason));
  assert.match(failure.reason, reason);
  assert.equal(failure.kind, kind, failure.reason);
  assert.ok(!failure.reason.includes("not for production"), "a password");
  if (repair === undefined) return;
  await server.query(repair);
  assert.equal((await table.insert(rows(["1"]), RUNNING)).failure, undefined, repair);
}

test("what cannot be reached or entered says what to do, and shows no password", { skip }, async () => {
  const closed = `127.0.0.1:${(await freePorts(1))[0]}`;
  const at = (place: string) => server.url().replace(/(?<=@).*/, place);
  const cases: [url: string, kind: "unavailable" | "misconfigured", reason: RegExp][] = [
    [
      server.url({ password: `${PASSWORD}!` }),
      "misconfigured",
      /password authentication failed .*28P01.*postgres\.url/,
    ],
    [server.url({ user: "stranger" }), "misconfigured", /28P01/],
    [server.url({ database: "missing" }), "misconfigured", /"missing" does not exist .*create the database/],
    [at("host.invalid/postgres"), "unavailable", /host\.invalid.*cannot be reached.*postgres\.url/],
    [at(`${closed}/postgres`), "unavailable", /ECONNREFUSED/],
    [at("tls.invalid/postgres"), "unavailable", /tls\.invalid.*cannot be reached/],
    [at("/postgres?host=/missing"), "unavailable", /cannot be reached/],
    [`${server.url()}?sslmode=verify-full`, "misconfigured", /no TLS: .*postgres\.tls_ca_file/],
  ];
  for (const [url, kind, reason] of cases) {
    await using table = open("unreachable", {}, url);
    await assertFails(table, kind, reason);
  }
});

test("connects over TLS and a Unix socket", { skip }, async () => {
  const ways: [url: string, settings?: Settings][] = [
    [`${server.url()}?sslmode=require`],
    [server.url(), { "postgres.tls_ca_file": CA_FILE }],
    [
      `${server.url().replace("127.0.0.1", "localhost")}?sslmode=verify-full`,
      { "postgres.tls_ca_file": CA_FILE },
    ],
    [server.url().replace(/(?<=@).*/, `:${server.port}/postgres?host=${server.directory}`)],
  ];
  for (const [index, [url, settings]] of ways.entries()) {
    await using table = open("ways", settings, url);
    assert.deepEqual(await table.insert(rows([String(index)], index + 1), RUNNING), STORED);
  }
});

test("a user without rights gets a message with what to grant, and delivery continues when it is granted", {
  skip,
}, async () => {
  await server.query("CREATE ROLE app LOGIN PASSWORD 'app'");
  const url = server.url({ user: "app", password: "app" });
  await using table = open("rights", {}, url);
  await assertFails(table, "misconfigured", /permission denied for schema public/);
  await using owner = open("rights");
  assert.deepEqual(await owner.insert(rows(["1"]), RUNNING), STORED);
  const grant = "GRANT SELECT, INSERT ON rights TO app";
  await assertFails(table, "misconfigured", /GRANT SELECT, INSERT/, grant);
  await server.query("REVOKE INSERT ON rights FROM app");
  await assertFails(table, "misconfigured", /permission denied for table rights/, grant);
  await server.query(
    "ALTER ROLE app CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
  );
  await eventually("a rejected connection", async () => {
    const { failure } = await table.insert(rows(["1"]), RUNNING);
    return failure?.kind === "unavailable" && /53300.*max_connections/.test(failure.reason);
  });
  await server.query(
    "ALTER ROLE app CONNECTION LIMIT 9; ALTER ROLE app SET default_transaction_read_only = on",
  );
  await using replica = open("rights", {}, url);
  await assertFails(
    replica,
    "misconfigured",
    /read-only.*primary/,
    "ALTER ROLE app SET default_transaction_read_only = off",
  );
});

test("a table that is changed under way stops the events with the column's name, and takes them when it is repaired", {
  skip,
}, async () => {
  await using table = open("changed");
  const changes: [change: string, reason: RegExp, repair: string][] = [
    ["DROP COLUMN put_at", /has no column put_at, which must be timestamp/, "ADD COLUMN put_at timestamptz"],
    [
      "ALTER COLUMN event TYPE text",
      /column event of type text, which must be jsonb/,
      "ALTER COLUMN event TYPE jsonb USING event::jsonb",
    ],
    [
      "ADD COLUMN tenant text NOT NULL",
      /column tenant that is NOT NULL/,
      "ALTER COLUMN tenant SET DEFAULT 'a'",
    ],
    [
      "ALTER COLUMN received_at DROP DEFAULT",
      /column received_at that is NOT NULL/,
      "ALTER COLUMN received_at SET DEFAULT now()",
    ],
    [
      "ALTER COLUMN put_at SET NOT NULL",
      /column put_at that is NOT NULL/,
      "ALTER COLUMN put_at DROP NOT NULL",
    ],
    [
      "DROP CONSTRAINT changed_pkey",
      /no primary key or unique index on \(queue, id, source\)/,
      "ADD UNIQUE (id, source, queue)",
    ],
  ];
  for (const [change, reason, repair] of changes) {
    await table.insert(rows(["1"]), RUNNING);
    await server.query(`TRUNCATE changed; ALTER TABLE changed ${change}`);
    await table.insert(rows(["1"]), RUNNING);
    await using another = open("changed");
    await assertFails(another, "misconfigured", reason, `ALTER TABLE changed ${repair}`);
  }
  assert.equal((await table.insert(rows(["1"]), RUNNING)).failure, undefined);
  await server.query("DROP TABLE changed");
  await assertFails(table, "unavailable", /dropped/, "SELECT 1");
  assert.deepEqual(await textsOf("changed"), ["1"]);
  await using partitioned = open("changed", { "postgres.partition": "day" });
  await assertFails(
    partitioned,
    "misconfigured",
    /is a plain table, and postgres\.partition = day needs a partitioned table/,
  );
});

test("a batch that waits too long is given up here and on the server", { skip }, async () => {
  await using table = open("held", { "postgres.timeout": "700ms" });
  await using other = open("held");
  await other.insert(rows(["1"]), RUNNING);
  const lock = server.query("BEGIN; LOCK held; SELECT pg_sleep(3600)").catch(() => "ended");
  const locks = (condition: string) =>
    server.query(`SELECT pid FROM pg_locks WHERE relation = 'held'::regclass AND ${condition}`);
  await eventually("a lock", async () => (await locks("granted")).length > 0);
  await assertFails(table, "unavailable", /postgres\.timeout/);
  await eventually(
    "an end of the statement that waits",
    async () => (await locks("NOT granted")).length === 0,
  );
  const stop = AbortSignal.timeout(50);
  assert.match((await other.insert(rows(["1"]), stop)).failure!.reason, /grace time/);
  await server.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK held%' AND pid <> pg_backend_pid()",
  );
  assert.equal(await lock, "ended");
});

test("a proxy that takes connections and closes them is not asked in a loop", { skip }, async () => {
  let connections = 0;
  await using proxy = await serveTcp((socket) => {
    connections++;
    socket.end();
  });
  await using table = open(
    "proxied",
    { "postgres.timeout": "500ms" },
    server.url().replace(/(?<=@)[^/]*/, proxy.url.slice(7)),
  );
  await assertFails(table, "unavailable", /no answer within 500 ms/);
  assert.ok(connections < 20, `${connections} connections`);
});

test("says how the server's settings can lose events", { skip }, async () => {
  await using table = open("risky");
  await table.insert(rows(["1"]), RUNNING);
  await server.query("ALTER TABLE risky SET UNLOGGED");
  const risks = await table.checkRisks();
  assert.equal(risks.length, 2);
  assert.match(risks.join(), /UNLOGGED.*fsync = off/s);
  assert.deepEqual(table.risks, risks);
  await using nowhere = open("risky", {}, server.url({ database: "missing" }));
  await assert.rejects(nowhere.checkRisks(), { code: "POSTGRES_MISCONFIGURED" });
});

test("a full disk of the server keeps the events, and takes them when there is room", {
  skip: skip || noSmallDisks,
}, async () => {
  using disk = new SmallDisk(4);
  server.own(disk.path);
  await server.query(`CREATE TABLESPACE small LOCATION '${disk.path}'`);
  await using table = open("full_disk");
  assert.deepEqual(await table.insert(rows(["1"]), RUNNING), STORED);
  await server.query("ALTER TABLE full_disk SET TABLESPACE small");
  disk.fill();
  const large = rows(
    [1, 2, 3].map((n) => JSON.stringify({ n, noise: randomBytes(60_000).toString("hex") })),
    2,
  );
  const { failure } = await table.insert(large, RUNNING);
  assert.equal(failure?.kind, "unavailable");
  assert.match(failure.reason, /No space left on device .*53100.*free space/);
  disk.free();
  assert.deepEqual(await table.insert(large, RUNNING), STORED);
  for (const statement of ["DROP TABLE full_disk", "DROP TABLESPACE small", "CHECKPOINT"])
    await server.query(statement);
});

test("a sink of a collector keeps sources apart, and events without ids each time", { skip }, async () => {
  const config = postgresConfig(server.url(), { "postgres.table": "sink" });
  const sink = await openSink(config);
  const ids = `${queueUuid(1)}:7-8,10`;
  const batch = batchOf(['{"1":{"i64":9007199254740993}}', '"\\u0000"', "[1,\n2]"], ids);
  const error = "unsupported Unicode escape sequence (22P05)";
  const rejected = [{ index: 1, error }];
  assert.deepEqual(await sink.store(batch), { stored: 2, duplicates: 0, rejected });
  assert.deepEqual(await sink.store(batch), { stored: 0, duplicates: 2, rejected });
  assert.deepEqual(await sink.store({ ...batch, source: "other" }), { stored: 2, duplicates: 0, rejected });
  for (const ids of [undefined, `${queueUuid(1)}:7`])
    assert.deepEqual(await sink.store(batchOf(["1", "2"], ids)), { stored: 2, duplicates: 0 });
  const late = sink.store(batchOf(["3"]));
  await sink.close();
  assert.deepEqual(await late, { stored: 1, duplicates: 0 });
  const found = await server.query(
    `SELECT source, id, event::text FROM sink WHERE queue = '${queueUuid(1)}' ORDER BY 1, 2`,
  );
  const expected = ["host", "other"].flatMap((source) => [
    { source, id: "7", event: '{"1": {"i64": 9007199254740993}}' },
    { source, id: "10", event: "[1, 2]" },
  ]);
  assert.deepEqual(
    found.map((row) => ({ ...row })),
    expected,
  );
  assert.equal((await textsOf("sink")).length, 4 + 4 + 1);
  await assert.rejects(sink.store(batchOf(["4"])), { code: "POSTGRES_UNAVAILABLE" });
});

test("a collector that is reloaded with another password uses it", { skip }, async () => {
  const load = (password: string) => {
    const keys = { "key.web": "aGVsbG8=", listen: "127.0.0.1:0", "admin.listen": "off", sink: "postgres" };
    const all = { ...keys, "postgres.url": server.url({ password }), "postgres.table": "reloaded" };
    return parseCollectorConfig(iniOf("event-collector", all), { env: {} });
  };
  const running = await RunningCollector.start(load("wrong"));
  await running.reload(() => load(PASSWORD));
  const connections = "SELECT FROM pg_stat_activity WHERE application_name = 'eventspool collector'";
  await eventually("a connection", async () => (await server.query(connections)).length > 0);
  assert.deepEqual(
    await server.query("SELECT to_regclass('reloaded') AS name").then(([row]) => row!.name),
    null,
  );
  await running.stop();
});

test("a publisher takes a queue to a table, makes dead letters of what it rejects, and continues after a restart of the server", {
  skip,
}, async () => {
  const settings = { destination: "postgres", "postgres.url": server.url(), "postgres.table": "published" };
  await using main = newQueue("http://unused", settings);
  const put = (from: number) =>
    main.queue.putMany(Array.from({ length: 1_000 }, (_, index) => ({ n: from + index })));
  put(0);
  main.queue.put({ n: "\u0000" });
  put(1_000);
  void main.publisher.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const [letter, ...others] = main.publisher.deadLetters.list({ limit: 10 });
  assert.deepEqual([letter?.status, letter?.id, others], [400, 1_001, []]);

  await server.kill();
  put(2_000);
  await eventually("a failure", () => main.publisher.status().consecutiveFailures > 0);
  assert.match(main.publisher.status().lastProblem!.message, /cannot be reached/);
  await server.start();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const found = await server.query(
    "SELECT (event->>'n')::int AS n, put_at <= received_at AND put_at > now() - interval '1 hour' AS is_timely FROM published ORDER BY 1",
  );
  assert.deepEqual(
    found.map((row) => ({ ...row })),
    Array.from({ length: 3_000 }, (_, n) => ({ n, is_timely: true })),
  );
  const { counts } = main.publisher.metrics();
  assert.deepEqual([counts.rollbacks, counts.deadLettered], [0, 1]);
});

test("the table gets each event that is put after the queue's file was rolled back in place", {
  skip,
}, async () => {
  using directory = temporaryDirectory();
  const settings = { destination: "postgres", "postgres.url": server.url(), "postgres.table": "rolled_back" };
  /** Puts events, publishes them, and closes the file. Returns how many rollbacks were found out. */
  const putAndPublish = async (...names: string[]): Promise<number> => {
    await using publisher = newPublisher("http://unused", directory.path, settings);
    using queue = new EventQueue<string>("main", (name) => Buffer.from(name), { directory: directory.path });
    queue.putMany(names);
    void publisher.run();
    await eventually("an empty queue", () => queue.depth() === 0);
    return publisher.metrics().counts.rollbacks;
  };
  const file = join(directory.path, "events-main.db");
  assert.equal(await putAndPublish("1", "2"), 0);
  const bytes = readFileSync(file);
  assert.equal(await putAndPublish("3", "4", "5"), 0);

  writeFileSync(file, bytes);
  assert.equal(await putAndPublish("6", "7", "8"), 1);
  assert.equal(await putAndPublish("9"), 0);
  assert.deepEqual((await textsOf("rolled_back")).sort(), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
});

for (const partition of ["none", "day"])
  test(`an event that the table drops is not taken for stored (postgres.partition = ${partition})`, {
    skip,
  }, async () => {
    const name = `dropped_${partition}`;
    await using table = open(name, { "postgres.partition": partition });
    assert.deepEqual(await table.insert(rows(["1"]), RUNNING), STORED);
    await server.query(`
      CREATE FUNCTION drop_${partition}() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN IF NEW.event = '"dropped"' THEN RETURN NULL; END IF; RETURN NEW; END $$;
      CREATE TRIGGER t BEFORE INSERT ON ${name} FOR EACH ROW EXECUTE FUNCTION drop_${partition}()`);
    const error = "a trigger of the table dropped it: see the triggers that return NULL";
    const rejected = [{ index: 1, error }];
    const events = rows(["2", '"dropped"', "3"], 2);
    assert.deepEqual(await table.insert(events, RUNNING), { ...STORED, rejected });
    assert.deepEqual(await table.insert(events, RUNNING), { ...STORED, duplicates: 2, rejected });
    assert.deepEqual(await textsOf(name), ["1", "2", "3"]);

    await server.query(`CREATE RULE r AS ON INSERT TO ${name} WHERE NEW.id = 6 DO INSTEAD NOTHING`);
    const { failure } = await table.insert(rows(["5", "6"], 5), RUNNING);
    assert.match(failure!.reason, /has a rule on INSERT or UPDATE/);
    assert.deepEqual([failure!.kind, failure!.isUnsent], ["misconfigured", false]); // 5 is stored
    await assertFails(table, "misconfigured", /has a rule/, `DROP RULE r ON ${name}`);
    assert.deepEqual(await table.insert(rows(["5", "6"], 5), RUNNING), { ...STORED, duplicates: 1 });
  });

test("says which function of a trigger fails, and creates its own again if it is missing", {
  skip,
}, async () => {
  await using table = open("audited", { "postgres.partition": "day" });
  await table.insert(rows(["1"]), RUNNING);
  await server.query(`
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql
      AS 'BEGIN INSERT INTO missing VALUES (1); RETURN NEW; END';
    CREATE TRIGGER t BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit()`);
  const { failure } = await table.insert(rows(["2"], 2), RUNNING);
  assert.match(failure!.reason, /"missing" does not exist .*function audit of a trigger failed/);
  assert.equal(failure!.kind, "misconfigured");
  await server.query("DROP FUNCTION audit CASCADE; DROP FUNCTION audited_insert");
  assert.deepEqual(await table.insert(rows(["2"], 2), RUNNING), STORED);
});
