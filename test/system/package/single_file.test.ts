import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../../src/version.ts";
import { assertDelivers, queueDirectory } from "../../support/delivery.ts";
import { start, startCommand } from "../../support/processes.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const BUILD = fileURLToPath(new URL("../../../scripts/build_binary.ts", import.meta.url));

const onlyBun = {
  skip: process.versions.bun === undefined && "the single file is built by Bun",
  timeout: 600_000,
};

test("is one file that delivers where there is no node_modules", onlyBun, async () => {
  using directory = temporaryDirectory();
  const home = join(directory.path, "home");
  mkdirSync(home);
  const binary = join(home, "eventspool-publisher");
  const built = spawnSync(process.execPath, [BUILD, "--outfile", binary], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  assert.match(built.stdout, /eventspool-publisher {2}\d+ MB\n$/);

  // It finds nothing but the system: Bun and node are not on the path, and it starts in a directory of its own.
  const options = { cwd: home, env: { PATH: "/usr/bin:/bin", HOME: home, TMPDIR: home } };
  const queue = queueDirectory(directory.path);
  await assertDelivers(directory.path, {
    collector: (file) => start("src/commands/collector.ts", [file]),
    producer: () => start("test/support/programs/delivery_producer.ts", [queue]),
    publisher: (file) => startCommand([binary, ["--directory", queue, file]], options),
  });
  assert.deepEqual(readdirSync(home), ["eventspool-publisher"], "nothing is unpacked");

  await using version = startCommand([binary, ["--version"]], options);
  assert.equal(await version.ended, 0);
  assert.deepEqual(version.stdout, [VERSION]);
});

test("fails to build for an unknown target, and names those there are", onlyBun, () => {
  const args = [BUILD, "--target", "sunos-sparc"];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.equal(status, 2);
  assert.match(stderr, /^No such target: sunos-sparc\. There are linux-x64, linux-arm64, /);
});
