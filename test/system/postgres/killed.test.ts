import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { NO_POSTGRES, type PostgresServer, startPostgres } from "../../support/postgres.ts";
import type { Program } from "../../support/processes.ts";
import { numbersFrom } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { type Settings, Spool, stop } from "../../support/spool.ts";

/** By hand more: `ROUNDS=100`. */
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const EVENTS = 500;

/** A program that is killed and started again. */
class Part {
  readonly #start: () => Program;
  #program: Program;

  constructor(start: () => Program) {
    this.#start = start;
    this.#program = start();
  }

  async kill(): Promise<void> {
    await stop(this.#program, "SIGKILL");
  }

  restart(): void {
    this.#program = this.#start();
  }

  async stop(): Promise<void> {
    await this.#program.line(/"(Publishing queue|Collecting at) /); // before that a signal ends it at once
    assert.equal(await stop(this.#program), 0, this.#program.stderr.join("\n"));
  }
}

test(`a publisher, a collector and the server are killed ${ROUNDS} times, and each event is a row once`, {
  skip: NO_POSTGRES,
  timeout: 600_000 + ROUNDS * 20_000,
}, async () => {
  await using server = await startPostgres("fsync=off");
  using direct = new Spool();
  using collected = new Spool();
  const [port = 0] = await freePorts(1);
  const table = (name: string, partition: string): Settings => ({
    "postgres.url": server.url(),
    "postgres.table": name,
    "postgres.partition": partition,
    "postgres.timeout": "3s",
  });
  const quick = { leaseMarginMs: 100, backoffMaxMs: 1_000 };
  const small = { "batch.max_bytes": "110kB" };
  const publisher = new Part(() =>
    direct.quickPublisher(quick, { destination: "postgres", ...small, ...table("direct", "none") }),
  );
  const sender = new Part(() =>
    collected.quickPublisher(quick, {
      "collector.hostname": `127.0.0.1:${port}`,
      "collector.timeout": "4s",
      ...small,
    }),
  );
  const collector = new Part(() =>
    collected.collector({
      sink: "postgres",
      output: "",
      listen: `127.0.0.1:${port}`,
      ...table("collected", "day"),
    }),
  );
  const kills = [
    () => publisher.kill().then(() => publisher.restart()),
    () => collector.kill().then(() => collector.restart()),
    () => server.kill().then(() => server.start()),
    () => sender.kill().then(() => sender.restart()),
  ];
  const spools = { direct, collected };
  for (let round = 0; round < ROUNDS; round++) {
    for (const spool of Object.values(spools)) spool.put(EVENTS, { text: "x".repeat(500) });
    const goal = 1 + Math.random() * (EVENTS - 1);
    await eventually("some deliveries", async () =>
      Object.values(spools).every((spool) => spool.queue.depth() < EVENTS * 2 - goal),
    );
    await Promise.all(
      kills.filter((_, index) => index === round % kills.length || Math.random() < 0.4).map((kill) => kill()),
    );
  }
  for (const [name, spool] of Object.entries(spools)) {
    await eventually(`an empty queue of ${name}`, () => spool.queue.depth() === 0);
    assert.deepEqual(spool.deadLetters(), []);
    assert.deepEqual(await numbersOf(server, name), numbersFrom(1, ROUNDS * EVENTS));
  }
  await Promise.all([publisher, sender, collector].map((part) => part.stop()));
});

async function numbersOf(server: PostgresServer, table: string): Promise<number[]> {
  const rows = await server.query(`SELECT (event->>'n')::int AS n FROM ${table} ORDER BY 1`);
  return rows.map(({ n }) => n as number);
}
