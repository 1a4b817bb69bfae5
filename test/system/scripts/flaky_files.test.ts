import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { type FailedFile, findFlaky } from "../../../scripts/test/flaky_files.ts";
import { runSuite } from "../../../scripts/test/run_suite.ts";
import { SUITES, type Suite } from "../../../scripts/test/suites.ts";
import { ROOT } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Runs test files, each of which fails in the given runs, the first of which is 1. @returns how many failed, the flaky ones, and how often each ran */
async function runFiles(failingRuns: readonly (readonly number[])[]): Promise<[number, number, number]> {
  using directory = temporaryDirectory();
  const files = failingRuns.map((runs, index) => {
    const path = join(directory.path, `f${index}.test.ts`);
    const count = `${path}.runs`;
    const source = `
      import { appendFileSync, readFileSync } from "node:fs";
      import { test } from "node:test";
      test("a > b", () => {
        appendFileSync(${JSON.stringify(count)}, ".");
        const run = readFileSync(${JSON.stringify(count)}).length;
        if (${JSON.stringify(runs)}.includes(run)) throw new Error("run " + run + " fails");
      });
      test("passes", () => {});`;
    writeFileSync(path, source);
    return relative(ROOT, path);
  });
  const run = (name: string, some: readonly string[]) =>
    runSuite(name, { ...(SUITES.unit as Suite), files: () => some }, directory.path);
  const result = await run("files", files);
  let again = 0;
  const flaky = await findFlaky([result], async ({ file }: FailedFile) => {
    again++;
    return (await run("again", [file])).failed === 0;
  });
  assert.equal(result.passed + result.failed, 2 * files.length);
  return [result.failed, flaky.length, again];
}

test("a file that fails once, and passes three times by itself, is flaky", async () => {
  assert.deepEqual(await runFiles([[], [1]]), [1, 1, 3]);
});

test("a file that fails again is not", async () => {
  assert.deepEqual(await runFiles([[1, 2]]), [1, 0, 1]);
  assert.deepEqual(await runFiles([[1, 4]]), [1, 0, 3]);
  assert.deepEqual(await runFiles([[1], [1, 3]]), [2, 0, 5]);
});

test("three files that fail are none of luck, and are not run again", async () => {
  assert.deepEqual(await runFiles([[1], [1], [1]]), [3, 0, 0]);
});

test("a check that fails, or a runner that dies, is not run again", async () => {
  using directory = temporaryDirectory();
  const suite = { command: () => ({ program: "false", args: [] }) };
  const [check, dead] = await Promise.all([
    runSuite("check", suite, directory.path),
    runSuite("dead", { ...suite, files: () => ["a.test.ts", "b.test.ts", "c.test.ts"] }, directory.path),
  ]);
  for (const result of [check, dead]) {
    assert.ok(result.failed > 0);
    assert.deepEqual(await findFlaky([result], () => assert.fail("it ran again")), []);
  }
});
