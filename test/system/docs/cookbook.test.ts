import assert from "node:assert/strict";
import { test } from "node:test";
import { filesOf, readPrograms } from "../../support/doc_page.ts";
import { Project } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Uses all programs of the page in one process, which ends by itself once the server has stopped. */
const DRIVER = `
import process from "node:process";
import { EventQueue, serializeJsonEvent } from "eventspool";
import { track } from "./analytics.ts";
import { deleteUser } from "./audit.ts";
import { queues } from "./queues.ts";
import { views } from "./typed.ts";
import "./shutdown.ts";

await deleteUser("ann", "bob");
track("signed up");
track("too large", { text: "x".repeat(200_000) });
console.log(views.depth(), queues.clicks.depth(), queues.audit.depth());
using analytics = new EventQueue("analytics", serializeJsonEvent);
console.log(analytics.depth());
process.kill(process.pid, "SIGTERM");
`;

test("the programs of docs/cookbook.md compile and do what they say", { timeout: 600_000 }, () => {
  const programs = filesOf(readPrograms("docs/cookbook.md"));
  programs["shutdown.ts"] = programs["shutdown.ts"]!.replace("3000", "0");
  using project = new Project({ ...programs, "driver.ts": DRIVER });
  assert.deepEqual(project.check(), { status: 0, output: "" });

  using queues = temporaryDirectory();
  const { status, output } = project.run("driver.ts", { EVENTSPOOL_DIR: queues.path });
  assert.equal(status, 0, output);
  assert.deepEqual(
    output.split("\n").filter((line) => line !== "ready"),
    ["1 1 1", "1", ""],
  );
  assert.match(project.test().output, /1 pass|pass 1/);
});
