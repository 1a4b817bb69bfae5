import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { DENO } from "../../../scripts/runtimes.ts";
import { readBlocks } from "../../support/doc_page.ts";
import { Project } from "../../support/project.ts";
import { getRuntime } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const SERVICE = `import { EventQueue, serializeJsonEvent } from "eventspool";
using events = new EventQueue("main", serializeJsonEvent);
events.put({ action: "view" });
console.log(events.depth());
`;

test("a service under Deno needs no more permissions than docs/install.md names", (t) => {
  const deno = getRuntime(DENO);
  if ("missing" in deno) return t.skip(deno.missing);
  using project = new Project({ "service.ts": SERVICE });
  using queues = temporaryDirectory();
  const block = readBlocks("docs/install.md").find(({ text }) => /^deno run .* service\.ts$/ms.test(text));
  const flags = block!.text
    .replaceAll("$EVENTSPOOL_DIR", queues.path)
    .split(/[\s\\]+/)
    .slice(2, -2);
  const put = (all: readonly string[]) => {
    // The sources are linked as a package, which Deno reads as part of the program.
    const args = [
      "run",
      "--no-prompt",
      "--conditions=bun",
      "--no-check",
      "--node-modules-dir=manual",
      ...all,
    ];
    const env = { ...process.env, EVENTSPOOL_DIR: queues.path };
    return spawnSync(deno.path, [...args, "service.ts"], { cwd: project.path, encoding: "utf8", env });
  };
  const { stdout, stderr } = put(flags);
  assert.equal(stdout, "1\n", stderr);
  const optional = "--allow-sys=statfs";
  assert.ok(flags.length === 4 && flags.includes(optional), flags.join(" "));
  for (const flag of flags)
    assert.equal(put(flags.filter((other) => other !== flag)).status === 0, flag === optional, flag);
});
