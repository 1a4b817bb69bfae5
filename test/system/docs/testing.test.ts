import assert from "node:assert/strict";
import { test } from "node:test";
import { filesOf, readPrograms } from "../../support/doc_page.ts";
import { Project } from "../../support/project.ts";

const LIMIT = { timeout: 600_000 };

test("has tests that compile and pass, the one of ten lines too", LIMIT, () => {
  const programs = readPrograms("docs/testing.md");
  const names = programs.map(({ name }) => name);
  assert.deepEqual(names, ["signup.ts", "signup.test.ts", "failing.test.ts", "delivery.test.ts"]);
  const lines = programs[1]!.text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("//"));
  assert.equal(lines.length, 10);

  using project = new Project(filesOf(programs));
  assert.deepEqual(project.check(), { status: 0, output: "" });
  const { status, output } = project.test();
  assert.equal(status, 0, output);
  assert.match(output, /3 pass|pass 3/, "it ran all of them");
});

test("has tests that fail when the service does not do what they say", LIMIT, () => {
  const files = filesOf(readPrograms("docs/testing.md"));
  using project = new Project({
    ...files,
    "signup.ts": files["signup.ts"]!.replace("events.put(", "void ("),
  });
  const { status, output } = project.test();
  assert.notEqual(status, 0, output);
  assert.match(output, /3 fail|fail 3/);
});
