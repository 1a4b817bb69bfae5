import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { parse } from "yaml";
import { readDeployment, secondsOf } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { start } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { addressOf, publishing, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

interface Service {
  readonly build: { readonly context: string; readonly dockerfile: string; readonly target: string };
  readonly volumes: readonly string[];
  readonly stop_grace_period?: string;
}

const { services, volumes } = parse(readDeployment("docker/compose.yaml")) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};
const INI = "deploy/docker/eventspool.ini";
const DIRECTORY = join(ROOT, "deploy/docker");

test("has a compose file whose files, targets and volumes there are", () => {
  const dockerfile = readDeployment("docker/Dockerfile");
  for (const { build, volumes: mounts } of Object.values(services)) {
    assert.ok(existsSync(join(DIRECTORY, build.context, build.dockerfile)));
    assert.match(dockerfile, new RegExp(`^FROM .* AS ${build.target}$`, "m"));
    for (const [source] of mounts.map((mount) => mount.split(":")))
      assert.ok(source!.startsWith(".") ? existsSync(join(DIRECTORY, source!)) : source! in volumes, source);
  }
});

test("has a compose file that lets service and publisher stop in their time", () => {
  assert.ok(secondsOf(services.publisher!.stop_grace_period!) > 10, "publisher.grace");
  assert.ok(secondsOf(services.service!.stop_grace_period!) > 20, "DRAIN_MS of service.ts");
});

test("has a service, publisher and collector that work together, and stop", {
  timeout: 600_000,
}, async () => {
  using directory = temporaryDirectory();
  const collected = join(directory.path, "events.jsonl");
  const shared = { EVENTS_KEY_SECRET: KEY_BASE64, EVENTSPOOL_DIR: directory.path };
  const collectorEnv = { ...shared, COLLECTOR_LISTEN: "127.0.0.1:0", COLLECTED: collected };
  await using collector = start("src/commands/collector.ts", [INI], collectorEnv);
  const { host } = await addressOf(collector);
  const publisherEnv = { ...shared, COLLECTOR: host, ADMIN_LISTEN: "127.0.0.1:0" };
  await using publisher = start("src/commands/publisher.ts", ["--queue-name", "main", INI], publisherEnv);
  await publishing(publisher);

  const child = await postViews(3, directory.path);
  assert.match(child, /Stopped: 0 events are left in the queue/);
  const lines = (): string[] => readFileSync(collected, "utf8").trim().split("\n");
  await eventually("the events", () => lines().length === 3);
  assert.equal(await stop(publisher), 0);
  assert.equal(await stop(collector), 0);
});

/** Runs service.ts, posts to it, ends it with SIGTERM, and returns what it printed. */
async function postViews(count: number, queues: string): Promise<string> {
  const isBun = process.versions.bun !== undefined; // elsewhere `eventspool` is dist/, which is not built
  const conditions = isBun ? {} : { NODE_OPTIONS: "--conditions=bun", DENO_CONDITIONS: "bun" };
  const env = { EVENTSPOOL_DIR: queues, PORT: "0", ...conditions };
  await using service = start("deploy/docker/service.ts", [], env);
  const line = await service.line(/^Serving at /);
  const url = line.slice("Serving at ".length);
  for (let id = 1; id <= count; id++) {
    const { status } = await fetch(`${url}/articles/${id}/views`, { method: "POST" });
    assert.equal(status, 204);
  }
  assert.equal(await stop(service), 0);
  return service.stdout.join("\n");
}
