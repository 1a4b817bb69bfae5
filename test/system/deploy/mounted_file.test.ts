import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { start, startCommand } from "../../support/processes.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MAKER = new URL("../../support/programs/queue_maker.ts", import.meta.url);
const noMounts = spawnSync("unshare", ["--mount", "true"]).status !== 0 && "this machine lets nobody mount";

/** What happens to a put into the directory `there`, where `what` of the directory `here` is mounted, as in a container. */
async function putMounted(place: string, what: string): Promise<string> {
  const [command, args] = runtimeCommand(MAKER, [join(place, "there")]);
  const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
  const mount = [join(place, "here", what), join(place, "there", what)];
  await using program = startCommand(
    ["unshare", ["--mount", "sh", "-c", script, "sh", ...mount, command, ...args]],
    { cwd: fileURLToPath(new URL("../../..", import.meta.url)) },
  );
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
  return program.stdout.join("\n");
}

test("a queue's directory can be mounted, and its file alone cannot: it would have two -wals", {
  skip: noMounts,
}, async () => {
  using place = temporaryDirectory();
  for (const name of ["here", "there"]) mkdirSync(join(place.path, name));
  await using maker = start("test/support/programs/queue_maker.ts", [join(place.path, "here")]);
  assert.equal(await maker.ended, 0);
  writeFileSync(join(place.path, "there", "events-main.db"), "");
  assert.match(await putMounted(place.path, "events-main.db"), /^SEVERAL_NAMES: .*Mount its directory/);
  assert.equal(await putMounted(place.path, "."), "600 600 600");
});
