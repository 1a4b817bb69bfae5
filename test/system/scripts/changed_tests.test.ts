import assert from "node:assert/strict";
import { test } from "node:test";
import { testsReachedBy } from "../../../scripts/test/changed_tests.ts";

const REACHES: Readonly<Record<string, string>> = {
  "src/config/ini.ts": "test/unit/config/ini.test.ts",
  "src/publisher/delivery.ts": "test/system/e2e/retries.test.ts",
  "test/support/programs/sink_writer.ts": "test/system/e2e/killed_sinks.test.ts",
  "test/vectors/config.json": "test/unit/config/vectors.test.ts",
  "docs/metrics.md": "test/system/docs/links.test.ts",
  "GUARANTEES.md": "test/system/docs/links.test.ts",
  "deploy/docker/Dockerfile": "test/system/deploy/docker.test.ts",
  "test/unit/format.test.ts": "test/unit/format.test.ts",
};

test("a change reaches the tests that import it, start it or read it", () => {
  for (const [file, reached] of Object.entries(REACHES))
    assert.ok(testsReachedBy([file]).includes(reached), `${file} reaches ${reached}`);
});

test("a change reaches no test that has nothing to do with it", () => {
  assert.ok(!testsReachedBy(["src/collector/app.ts"]).includes("test/unit/config/ini.test.ts"));
});

test("a change of what all tests run with reaches all of them", () => {
  assert.ok(testsReachedBy(["bun.lock"]).length > testsReachedBy(["src/errors.ts"]).length);
});
