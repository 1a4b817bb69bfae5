import assert from "node:assert/strict";
import { test } from "node:test";
import { startCommand } from "../../support/processes.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("a place that cannot be resolved is one of our errors, with advice", { timeout: 300_000 }, async () => {
  using directory = temporaryDirectory(); // where the runtimes make their caches: $HOME is relative
  const unset = { XDG_STATE_HOME: "", EVENTSPOOL_DIR: "", STATE_DIRECTORY: "" };
  const env = { ...unset, HOME: "nowhere" };
  const command = runtimeCommand(new URL("../../support/programs/placeless_opener.ts", import.meta.url));
  await using program = startCommand(command, { cwd: directory.path, env });
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
  const thrown = program.stdout.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(thrown.length, 3);
  for (const { isOurs, message } of thrown) assert.equal(isOurs, true, `${message}`);
  assert.equal(thrown[0]!.name, "ConfigurationError");
  assert.match(`${thrown[0]!.message}`, /no home directory.*queue\.directory.*\$EVENTSPOOL_DIR/);
});
