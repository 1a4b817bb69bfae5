import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { filesOf, readBlocks, readPrograms } from "../../support/doc_page.ts";
import { eventually } from "../../support/eventually.ts";
import { NATS_SERVER, type NatsServer, NO_NATS, openNats, startCluster } from "../../support/nats.ts";
import { start, startCommand } from "../../support/processes.ts";
import { Project } from "../../support/project.ts";
import { freePorts } from "../../support/servers.ts";
import { stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const PAGE = "docs/scale.md";
const EVENTS = 1_000;

test("the programs of docs/scale.md and docs/destinations.md compile", { timeout: 600_000 }, () => {
  const programs = [PAGE, "docs/destinations.md"].flatMap(readPrograms);
  assert.deepEqual(
    programs.map(({ name }) => name),
    ["stream.ts", "lag.ts", "lake.ts", "kafka.ts"],
  );
  using project = new Project(filesOf(programs));
  assert.deepEqual(project.check(), { status: 0, output: "" });
});

test("its programs create the stream, change it, and show the lag of its consumer", {
  skip: NO_NATS,
  timeout: 600_000,
}, async () => {
  await using cluster = await startCluster();
  const env = { NATS_SERVERS: cluster.servers.map(({ address }) => address).join(",") };
  const programs = readPrograms(PAGE);
  using project = new Project(filesOf(programs));
  assert.deepEqual(project.run("stream.ts", env), { status: 0, output: "Made EVENTS\n" });
  assert.deepEqual(project.run("stream.ts", env), { status: 0, output: "Changed EVENTS\n" });
  await publish(cluster.servers[0]!);

  using directory = temporaryDirectory();
  await using rollup = start("examples/rollup.ts", [], {
    ...env,
    ROLLUP_DB: join(directory.path, "rollup.db"),
  });
  await rollup.line(/^Counting EVENTS/);
  const { output } = programs.find(({ name }) => name === "lag.ts")!;
  await eventually("what the page shows", () => project.run("lag.ts", env).output === output);
  assert.equal(await stop(rollup), 0);
});

async function publish(server: NatsServer): Promise<void> {
  await using client = await openNats(server);
  const js = jetstream(client.nc, { timeout: 120_000 });
  const event = JSON.stringify({ action: "view", noun: "page", client_timestamp: 0 });
  await Promise.all(Array.from({ length: EVENTS }, () => js.publish("events.main", event)));
}

test("three servers with its configuration become one healthy cluster", {
  skip: NO_NATS,
  timeout: 600_000,
}, async () => {
  const config = readBlocks(PAGE).find(({ language }) => language === "conf")!.text;
  using directory = temporaryDirectory();
  const ports = await freePorts(9);
  const [routes, monitors, clients] = [ports.slice(0, 3), ports.slice(3, 6), ports.slice(6)];
  await using servers = new AsyncDisposableStack();
  for (const [index, route] of routes.entries()) {
    const store = join(directory.path, `store-${index}`);
    mkdirSync(store);
    const file = join(directory.path, `${index}.conf`);
    writeFileSync(
      file,
      config
        .replace("server_name: nats-1", `server_name: nats-${index + 1}`)
        .replace("/var/lib/nats", store)
        .replace("127.0.0.1:4222", `127.0.0.1:${clients[index]}`)
        .replace("127.0.0.1:8222", `127.0.0.1:${monitors[index]}`)
        .replace('listen: "127.0.0.1:6222"', `listen: "127.0.0.1:${route}"`)
        .replace(/routes: .*/, `routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`).join(", ")}]`),
    );
    servers.use(startCommand([NATS_SERVER!, ["-c", file]]));
  }
  for (const monitor of monitors) {
    await eventually("a healthy server of three", async () => {
      const read = async (path: string): Promise<Record<string, unknown>> => {
        const answer = await fetch(`http://127.0.0.1:${monitor}${path}`);
        return (await answer.json()) as Record<string, unknown>;
      };
      try {
        const { status } = await read("/healthz");
        const { meta_cluster: meta } = await read("/jsz?consumers=true");
        return status === "ok" && (meta as { cluster_size: number }).cluster_size === 3;
      } catch {
        return false; // it does not listen yet
      }
    });
  }
});
