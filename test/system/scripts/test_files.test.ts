import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../support/project.ts";

/** What is one for all threads of a process. `process.umask()` without an argument only reads. */
const CHANGES =
  /\bprocess\s*\.\s*(chdir|umask|set(e?[ug]id|groups)|initgroups)(\?\.|!)?\((?!\))|\benv\.TZ\s*=/;

test("only programs that tests start change the user, umask, directory or time zone of their process: Deno runs test files as threads of one", () => {
  const files = globSync("test/{unit,runtime,support}/**/*.ts", { cwd: ROOT });
  const shared = files.filter((file) => !file.startsWith("test/support/programs/"));
  assert.ok(shared.length > 100);
  assert.deepEqual(
    shared.filter((file) => CHANGES.test(readFileSync(join(ROOT, file), "utf8"))),
    [],
  );
});

test("properties try the same examples in each run of the gate: their fast-check has a fixed seed", () => {
  const files = globSync("test/**/*.ts", { cwd: ROOT });
  const unseeded = files.filter((file) =>
    /^import .*"fast-check"/m.test(readFileSync(join(ROOT, file), "utf8")),
  );
  assert.deepEqual(unseeded, ["test/support/fast_check.ts"]);
});
