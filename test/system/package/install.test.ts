import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pack } from "../../../scripts/pack.ts";
import { DENO, NODE, OLDEST_NODE } from "../../../scripts/runtimes.ts";
import { VERSION } from "../../../src/version.ts";
import { assertDelivers, PRODUCER, queueDirectory } from "../../support/delivery.ts";
import { pathWith, whyMissing } from "../../support/installs.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";

// What is installed is the same, whatever runs this file.
const OPTIONS = {
  skip: process.versions.bun === undefined && "the package is packed and installed by Bun's test run",
  timeout: 600_000,
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

const PNPM = "pnpm@10.34.9";

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

test(
  "serves an empty project of pnpm, whose bins are shell scripts, as a service manager starts it",
  OPTIONS,
  async (t) => {
    const node = getRuntime(NODE);
    if ("missing" in node) return t.skip(node.missing);
    const env = pathWith(node.path);
    const missing = whyMissing(PNPM, env);
    if (missing !== undefined) return t.skip(missing);
    const project = emptyProject("pnpm");
    await using add = startCommand([process.execPath, ["x", PNPM, "add", "--store-dir", "store", tarball]], {
      cwd: project,
      env,
    });
    assert.equal(await add.ended, 0, [...add.stdout, ...add.stderr].join("\n"));
    // Without a shell of its own: systemd sends signals to the process that it has started.
    const start = (program: string, ...args: string[]): Program =>
      startCommand([program, args], { cwd: project, env: { ...env, ...environment(project) } });
    await assertDelivers(project, {
      collector: (file) => start(node.path, "node_modules/eventspool/dist/commands/collector.js", file),
      producer: () => start(node.path, "producer.mjs"),
      publisher: (file) => start("node_modules/.bin/eventspool-publisher", file),
    });
  },
);

test(
  "puts with the fewest packages, and names the additional one that a command needs",
  OPTIONS,
  async () => {
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
  },
);

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

test("serves a Deno project from JSR: library and commands, without node_modules", OPTIONS, async (t) => {
  const deno = getRuntime(DENO);
  if ("missing" in deno) return t.skip(deno.missing);
  const project = emptyProject("jsr");
  rmSync(join(project, "package.json"));
  await using registry = await startJsr();
  const jsr = `jsr:@eventspool/eventspool@${VERSION}`;
  writeFileSync(join(project, "producer.mjs"), PRODUCER.replace('"eventspool"', `"${jsr}"`));
  // A cache of its own, but for the packages of npm.
  const env = { JSR_URL: registry.url, DENO_DIR: join(project, "deno") };
  mkdirSync(env.DENO_DIR);
  symlinkSync(npmCache(deno.path), join(env.DENO_DIR, "npm"));
  const programs = ["producer.mjs", `${jsr}/eventspool-publisher`, `${jsr}/eventspool-collector`];
  await using cache = startCommand([deno.path, ["cache", ...programs]], { cwd: project, env });
  assert.equal(await cache.ended, 0, cache.stderr.join("\n"));
  await assertWorksUnderDeno(project, deno.path, `${jsr}/`, env);
});

/** JSR's part of the protocol that Deno asks for, with this package as `deno publish` sends it. */
async function startJsr(): Promise<{ url: string } & AsyncDisposable> {
  const { exports, imports } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8")) as {
    exports: Record<string, string>;
    imports: Record<string, string>;
  };
  const source = (path: string): string =>
    readFileSync(join(ROOT, path), "utf8").replace(
      /(?<=from |import\()"((?:@[^"/]+\/)?[^"./:]+)(\/[^"]*)?"/g,
      (text, name: string, path: string = "") => (name in imports ? `"${imports[name]}${path}"` : text),
    );
  const paths = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const files = new Map(paths.map((path) => [`/src/${path}`, source(`src/${path}`)]));
  const manifest = Object.fromEntries(
    [...files].map(([path, text]) => [
      path,
      {
        size: Buffer.byteLength(text),
        checksum: `sha256-${createHash("sha256").update(text).digest("hex")}`,
      },
    ]),
  );
  const base = "/@eventspool/eventspool";
  const served = new Map([
    [
      `${base}/meta.json`,
      JSON.stringify({ scope: "eventspool", name: "eventspool", versions: { [VERSION]: {} } }),
    ],
    [`${base}/${VERSION}_meta.json`, JSON.stringify({ manifest, exports })],
    ...[...files].map(([path, text]): [string, string] => [`${base}/${VERSION}${path}`, text]),
  ]);
  const server = createServer(({ url = "" }, response) => {
    const body = served.get(url);
    const type = url.endsWith(".json") ? "application/json" : "text/typescript";
    response.writeHead(body === undefined ? 404 : 200, { "content-type": type }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

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
async function assertWorksUnderDeno(
  project: string,
  deno: string,
  from: string,
  env: Record<string, string> = {},
): Promise<void> {
  const start = (program: string, permissions: string[], ...args: string[]): Program => {
    const all = ["run", "--no-prompt", ...permissions, program, ...args];
    return startCommand([deno, all], { cwd: project, env: { ...environment(project), ...env } });
  };
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
      return start(`${from}eventspool-collector`, flags, file);
    },
    producer: () => start("producer.mjs", service),
    publisher: (file, host) => {
      const besides = [`--allow-read=${file}`, `--allow-net=${host},127.0.0.1:0`, "--allow-sys=uid"];
      return start(`${from}eventspool-publisher`, merged([...service, ...besides]), file);
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
    timeout: 600_000,
  });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${error?.message ?? ""}${stdout}${stderr}`);
  return stdout;
}
