import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { filesOf, readPrograms } from "../../support/doc_page.ts";
import { Project } from "../../support/project.ts";
import { freePorts } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const PAGE = "docs/frameworks.md";

/** The frameworks, as the page was tried with. Next.js has 340 MB: its route handler is called without it. */
const FRAMEWORKS = { express: "5.3.0", fastify: "5.12.8", elysia: "1.4.30" };

/** A registry that does not respond in this time is treated as unreachable. */
const INSTALL_TIMEOUT_MS = 60_000;

/** Sends a request to each program in turn, in one process. */
const driver = (ports: Readonly<Record<string, number>>): string => `
import { EventQueue, serializeJsonEvent } from "eventspool";
import { POST } from "./route.ts";
import { record } from "./record.ts";
import hono from "./hono.ts";

const VIEW = { method: "POST", headers: { connection: "close" } };
for (const [name, port] of Object.entries(${JSON.stringify(ports)})) {
  await import(\`./\${name}.ts\`);
  let response;
  for (let attempt = 0; response === undefined && attempt < 3_000; attempt++)
    response = await fetch(\`http://localhost:\${port}/articles/\${name}/views\`, VIEW).catch(() => Bun.sleep(20));
  console.log(name, response?.status);
}
const url = "http://localhost/articles/hono/views";
console.log("hono", (await hono.fetch(new Request(url, VIEW))).status);
const params = Promise.resolve({ id: "next" });
console.log("next", (await POST(new Request(url, VIEW), { params })).status);
record({ action: "record" });
using events = new EventQueue("main", serializeJsonEvent);
console.log(events.depth(), "events");
process.exit();
`;

test("each program of docs/frameworks.md puts an event and responds with 204", {
  skip: process.versions.bun === undefined && "the frameworks are installed by Bun",
  timeout: 600_000,
}, async (t) => {
  const names = ["node_http", "express", "fastify", "elysia"];
  const ports = Object.fromEntries((await freePorts(names.length)).map((port, nth) => [names[nth]!, port]));
  const programs = filesOf(readPrograms(PAGE));
  assert.deepEqual(Object.keys(programs).length, names.length + 3, "hono, route and record are not servers");
  for (const name of names)
    programs[`${name}.ts`] = programs[`${name}.ts`]!.replace("3000", String(ports[name]));
  using installed = temporaryDirectory();
  writeFileSync(join(installed.path, "package.json"), JSON.stringify({ dependencies: FRAMEWORKS }));
  const install = spawnSync(process.execPath, ["install", "--silent"], {
    cwd: installed.path,
    encoding: "utf8",
    timeout: INSTALL_TIMEOUT_MS,
  });
  if (install.status !== 0)
    return t.skip(`the frameworks cannot be installed: ${install.stderr || install.signal}`);

  using project = new Project({ ...programs, "driver.ts": driver(ports) });
  for (const name of Object.keys(FRAMEWORKS)) project.link(name, join(installed.path, "node_modules", name));
  using queues = temporaryDirectory();
  const { status, output } = project.run("driver.ts", { EVENTSPOOL_DIR: queues.path });
  const responses = [...names, "hono", "next"].map((name) => `${name} 204\n`).join("");
  assert.deepEqual({ status, output }, { status: 0, output: `${responses}7 events\n` });
});
