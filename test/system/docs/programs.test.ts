import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { filesOf, readPrograms } from "../../support/doc_page.ts";
import { Project, ROOT } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("the README's service compiles", { timeout: 600_000 }, () => {
  using project = new Project(filesOf(readPrograms("README.md")));
  assert.deepEqual(project.check(), { status: 0, output: "" });
});

test("the program of docs/service.md compiles and puts events", { timeout: 600_000 }, () => {
  const programs = readPrograms("docs/service.md");
  assert.deepEqual(
    programs.map(({ name }) => name),
    ["service_1.ts", "publisher.ts"],
    "the second block goes on with the first",
  );
  using project = new Project(filesOf(programs));
  assert.deepEqual(project.check(), { status: 0, output: "" });

  using queues = temporaryDirectory();
  assert.deepEqual(project.run("service_1.ts", { EVENTSPOOL_DIR: queues.path }), {
    status: 0,
    output: "4 events are waiting or being sent\n",
  });
});

test("the tutorial's program compiles", { timeout: 600_000 }, () => {
  using project = new Project(filesOf(readPrograms("docs/tutorial.md")));
  assert.deepEqual(project.check(), { status: 0, output: "" });
});

test("the replacements of other SDKs are called as docs/moving-from-segment.md does", {
  timeout: 600_000,
}, () => {
  const programs = readPrograms("docs/moving-from-segment.md");
  assert.deepEqual(
    programs.map(({ name }) => name),
    ["signup.ts", "paid.ts"],
  );
  using project = new Project(filesOf(programs));
  for (const name of ["segment.ts", "posthog.ts"])
    project.write(name, readFileSync(join(ROOT, "examples", name), "utf8"));
  assert.deepEqual(project.check(), { status: 0, output: "" });

  using queues = temporaryDirectory();
  for (const { name } of programs) {
    const { status, output } = project.run(name, { EVENTSPOOL_DIR: queues.path });
    assert.deepEqual({ status, output }, { status: 0, output: "" }, name);
  }
  using queue = new EventQueue("main", serializeJsonEvent, { directory: queues.path });
  assert.equal(queue.depth(), 2);
});
