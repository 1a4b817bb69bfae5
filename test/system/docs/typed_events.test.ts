import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { filesOf, readBlocks, readPrograms } from "../../support/doc_page.ts";
import { needsThriftCompiler, Project, ROOT, run } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("has programs that compile, run, and print what the page says", needsThriftCompiler, () => {
  const programs = readPrograms("docs/typed-events.md");
  assert.deepEqual(
    programs.map(({ name }) => name),
    ["page_views.ts", "signups.ts", "validated_signups.ts"],
  );
  const idl = readBlocks("docs/typed-events.md").find(({ language }) => language === "thrift")!.text;
  using project = new Project({ ...filesOf(programs), "signup.thrift": idl });
  const generated = run(join(ROOT, "src/commands/thrift.ts"), [join(project.path, "signup.thrift")]);
  assert.equal(generated.status, 0, generated.output);

  assert.deepEqual(project.check(), { status: 0, output: "" });
  for (const { name, output } of programs) {
    using queues = temporaryDirectory();
    assert.deepEqual(project.run(name, { EVENTSPOOL_DIR: queues.path }), { status: 0, output }, name);
  }
});
