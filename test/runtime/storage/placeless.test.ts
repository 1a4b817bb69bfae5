import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("a place that cannot be resolved is one of our errors, with advice", { timeout: 30_000 }, async () => {
  using cache = temporaryDirectory(); // or Deno would make one in ./nowhere
  const unset = { XDG_STATE_HOME: "", EVENTSPOOL_DIR: "", STATE_DIRECTORY: "" };
  const env = { ...unset, HOME: "nowhere", DENO_DIR: cache.path };
  await using program = start("test/runtime/storage/placeless.ts", [], env);
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
  const thrown = program.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(thrown.length, 3);
  for (const { isOurs, message } of thrown) assert.equal(isOurs, true, `${message}`);
  assert.equal(thrown[0]!.name, "ConfigurationError");
  assert.match(`${thrown[0]!.message}`, /no home directory.*queue\.directory.*\$EVENTSPOOL_DIR/);
});
