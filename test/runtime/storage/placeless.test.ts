import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "../../support/processes.ts";

test("a place that cannot be resolved is one of our errors, with advice", { timeout: 30_000 }, async () => {
  const env = { HOME: "nowhere", XDG_STATE_HOME: "", EVENTSPOOL_DIR: "", STATE_DIRECTORY: "" };
  await using program = start("test/runtime/storage/placeless.ts", [], env);
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
  const thrown = program.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(thrown.length, 3);
  for (const { isOurs, message } of thrown) assert.equal(isOurs, true, `${message}`);
  assert.equal(thrown[0]!.name, "ConfigurationError");
  assert.match(`${thrown[0]!.message}`, /no home directory.*queue\.directory.*\$EVENTSPOOL_DIR/);
});
