import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pack } from "../../../scripts/pack.ts";
import { DENO, NODE, OLDEST_NODE } from "../../../scripts/runtimes.ts";
import { VERSION } from "../../../src/version.ts";
import { assertDelivers, PRODUCER, queueDirectory } from "../../support/delivery.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";

// What is installed is the same, whatever runs this file.
const OPTIONS = {
  skip: process.versions.bun === undefined && "the package is packed and installed by Bun's test run",
  timeout: 240_000,
};

/** What a user of TypeScript writes, with all that can be imported. */
const CONSUMER = `import { EventError, EventQueue, EventQueueFullError, serializeJsonEvent } from "eventspool";
import { collector } from "eventspool/collector";
import { eventQueues } from "eventspool/hono";
import { serializeV2Event } from "eventspool/thrift";

using events = new EventQueue<{ action: string }>("main", serializeJsonEvent, {
  maxEvents: 10,
  onRejected: ({ code }, count) => console.error(code, count),
});
try {
  events.put({ action: "view" });
} catch (error) {
  if (EventQueueFullError.is(error)) console.error(error.limit, error.code satisfies "QUEUE_FULL");
  else if (EventError.is(error)) console.error(error.code);
}
// @ts-expect-error: not what this queue takes
events.put({ act: "view" });
export const depth: number = events.depth();
export const others: unknown[] = [collector, eventQueues({ events }), serializeV2Event, EventQueueFullError];
`;

const PUBLISHING_CONSUMER = `import { admin } from "eventspool/admin";
import { Outbox } from "eventspool/outbox";
import { loadPublisherConfig, Publisher } from "eventspool/publisher";
import { type Responder, responses, TestEventQueue } from "eventspool/testing";

await using publisher = new Publisher(loadPublisherConfig("config.ini", { queueName: "main" }), {
  onDelivered: ({ count }) => console.log(count),
  onHealthChange: ({ health }) => console.log(health satisfies "ok" | "degraded" | "failing"),
});
export const responder: Responder = responses.times(1, responses.hang());
export const app = admin(publisher).fetch;
export const letters: number[] = publisher.deadLetters.list({ limit: 10 }).map(({ id }) => id);
export const others: unknown[] = [Outbox, TestEventQueue];
await publisher.run({ signal: AbortSignal.timeout(1000) });
`;

let directory = "";
let tarball = "";

before(() => {
  if (OPTIONS.skip) return;
  directory = mkdtempSync(join(tmpdir(), "eventspool-install-"));
  tarball = join(directory, "eventspool.tgz");
  const { status, stdout, stderr } = pack(tarball);
  assert.equal(status, 0, stdout + stderr);
});

after(() => {
  if (directory !== "") rmSync(directory, { recursive: true });
});

test("serves an empty Bun project from the tarball: queue, publisher, collector", OPTIONS, async () => {
  const project = emptyProject("bun");
  run(process.execPath, ["add", tarball], project);
  await assertWorks(project, process.execPath);
});

test("serves an empty Node project from the tarball: queue, publisher, collector", OPTIONS, async (t) => {
  const project = emptyProject("node");
  run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", tarball], project);
  for (const pinned of [NODE, OLDEST_NODE]) {
    await t.test(pinned, async (t) => {
      const node = getRuntime(pinned);
      if ("missing" in node) return t.skip(node.missing);
      await assertWorks(project, node.path);
      cpSync(join(ROOT, "test/support/programs/installed_package.ts"), join(project, "installed_package.ts"));
      assert.match(run(node.path, ["--test", "installed_package.ts"], project), /pass 9\n/);
    });
  }
});

test("puts with the fewest packages, and names the one that a command needs besides", OPTIONS, async () => {
  const project = emptyProject("least");
  run("npm", ["install", "--omit=optional", "--omit=peer", "--no-audit", "--no-fund", tarball], project);
  for (const name of ["hono", "prom-client", "@nats-io", "thrift", "@hono"])
    assert.ok(!existsSync(join(project, "node_modules", name)), `${name} is installed`);
  const imports = [
    "eventspool",
    "eventspool/outbox",
    "eventspool/thrift",
    "eventspool/hono",
    "eventspool/publisher",
  ];
  writeFileSync(join(project, "imports.mjs"), imports.map((name) => `import "${name}";`).join("\n"));
  run(process.execPath, ["imports.mjs"], project);

  const secret = Buffer.from("secret").toString("base64");
  writeFileSync(
    join(project, "config.ini"),
    `[event-collector]\nlisten = 127.0.0.1:0\nkey.main = ${secret}\n`,
  );
  const command = join("node_modules", ".bin", "eventspool-collector");
  await using collector = startCommand([process.execPath, [command, "config.ini"]], { cwd: project });
  assert.equal(await collector.ended, 2);
  await collector.line(/The package hono is not installed, and is needed here: run "npm install hono"/);
});

test(
  "serves an empty Deno project from the tarball, with the permissions docs/install.md names",
  OPTIONS,
  async (t) => {
    const deno = getRuntime(DENO);
    if ("missing" in deno) return t.skip(deno.missing);
    const project = emptyProject("deno");
    run("tar", ["xzf", tarball], project); // into package/: Deno takes no tarball, but links a directory
    const settings = {
      imports: { eventspool: `npm:eventspool@${VERSION}` },
      links: ["./package"],
      nodeModulesDir: "auto",
    };
    writeFileSync(join(project, "deno.json"), JSON.stringify(settings));
    run(deno.path, ["install"], project);
    await assertWorksUnderDeno(project, deno.path, "npm:eventspool/");
  },
);

test("serves a Deno project from the sources that JSR gets, without node_modules", OPTIONS, async (t) => {
  const deno = getRuntime(DENO);
  if ("missing" in deno) return t.skip(deno.missing);
  const project = emptyProject("jsr");
  rmSync(join(project, "package.json"));
  cpSync(join(ROOT, "src"), join(project, "src"), { recursive: true });
  cpSync(join(ROOT, "deno.json"), join(project, "deno.json"));
  writeFileSync(join(project, "producer.mjs"), PRODUCER.replace('"eventspool"', '"@eventspool/eventspool"'));
  run(deno.path, ["install", "--entrypoint", "src/commands/publisher.ts"], project);
  await assertWorksUnderDeno(project, deno.path, "src/commands/");
});

test("has types that a strict project without skipLibCheck or types of SQLite accepts", OPTIONS, () => {
  const project = emptyProject("types");
  run(process.execPath, ["add", tarball, "@types/node@24"], project);
  writeFileSync(join(project, "consumer.ts"), CONSUMER);
  writeFileSync(join(project, "publishing.ts"), PUBLISHING_CONSUMER);
  for (const file of ["consumer.ts", "publishing.ts"]) typeCheck(project, file);
});

/** A directory with a package.json that names no package, and a program that puts. */
function emptyProject(name: string): string {
  const project = join(directory, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }\n');
  writeFileSync(join(project, "producer.mjs"), PRODUCER);
  return project;
}

/** Delivers events with the commands of an installed package, and looks at the queue with its tool. */
async function assertWorks(project: string, runtime: string): Promise<void> {
  const files = mkdtempSync(join(project, "files-"));
  const start = (file: string, ...args: string[]): Program =>
    startCommand([runtime, [file, ...args]], { cwd: project, env: environment(files) });
  const command = (name: string): string => join("node_modules", ".bin", name);

  await assertDelivers(files, {
    collector: (file) => start(command("eventspool-collector"), file),
    producer: () => start("producer.mjs"),
    publisher: (file) => start(command("eventspool-publisher"), file),
  });
  await using check = start(command("eventspool"), "check");
  assert.equal(await check.ended, 0, check.stdout.join("\n"));
  await check.line(new RegExp(`eventspool ${VERSION}, ${runtime === process.execPath ? "Bun" : "Node"}`));
}

/** The same under Deno, which lets each program do what it is told here and nothing else. */
async function assertWorksUnderDeno(project: string, deno: string, from: string): Promise<void> {
  const start = (program: string, permissions: string[], ...args: string[]): Program => {
    const all = ["run", "--no-prompt", ...permissions, program, ...args];
    return startCommand([deno, all], { cwd: project, env: environment(project) });
  };
  const command = (npmName: string, file: string): string =>
    from + (from.startsWith("npm:") ? npmName : file);
  const queue = queueDirectory(project);
  const library = from.startsWith("npm:") ? join(project, "node_modules") : npmCache(deno);
  const service = [
    "--allow-env=EVENTSPOOL_DIR",
    `--allow-read=${queue},${library}`,
    `--allow-write=${queue}`,
    "--allow-sys=statfs,cpus,hostname,networkInterfaces",
    `--allow-ffi=${library}`,
  ];

  await assertDelivers(project, {
    collector: (file) => {
      const files = [`--allow-read=${project},${library}`, `--allow-write=${project}`];
      const besides = ["--allow-net=127.0.0.1:0", "--allow-sys=uid,cpus,hostname,networkInterfaces"];
      const flags = [...files, ...besides, `--allow-ffi=${library}`];
      return start(command("eventspool-collector", "collector.ts"), flags, file);
    },
    producer: () => start("producer.mjs", service),
    publisher: (file, host) => {
      const besides = [`--allow-read=${file}`, `--allow-net=${host},127.0.0.1:0`, "--allow-sys=uid"];
      return start(command("eventspool-publisher", "publisher.ts"), merged([...service, ...besides]), file);
    },
  });
}

/** Deno takes each flag once. */
function merged(flags: readonly string[]): string[] {
  const values = new Map<string, string[]>();
  for (const flag of flags) {
    const [name = "", value = ""] = flag.split("=");
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return [...values].map(([name, all]) => `${name}=${all.join(",")}`);
}

function npmCache(deno: string): string {
  return (JSON.parse(run(deno, ["info", "--json"], directory)) as { npmCache: string }).npmCache;
}

function environment(files: string): Record<string, string> {
  return { EVENTSPOOL_DIR: queueDirectory(files) };
}

/** Of the package's own types, too: skipLibCheck is off. */
function typeCheck(project: string, file: string): void {
  const compilerOptions = {
    ...{ module: "nodenext", target: "es2024", strict: true, noEmit: true, types: ["node"] },
    skipLibCheck: false,
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file] }));
  run(process.execPath, [join(ROOT, "node_modules", ".bin", "tsc"), "-p", "."], project);
}

/** Runs a command to its end, and returns what it printed. */
function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    timeout: 120_000,
  });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${error?.message ?? ""}${stdout}${stderr}`);
  return stdout;
}
