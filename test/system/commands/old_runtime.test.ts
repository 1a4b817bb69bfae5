import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ROOT } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NODE = "node";
const { stdout: version = "" } = spawnSync(NODE, ["--version"], { encoding: "utf8" });
const isOld = /^v(1\d|20|21)\./.test(version);
const skip =
  (process.versions.bun === undefined && "Bun builds what it runs") ||
  (!isOld && `needs a Node before 22 as node, and it is ${version}`);

test("under an old Node each command says in one line which version it needs, and ends with 2", {
  skip,
}, () => {
  using directory = temporaryDirectory();
  const names = ["queue", "publisher", "collector", "thrift"];
  const entries = names.map((name) => join(ROOT, `src/commands/${name}.ts`));
  const options = ["--target=node", "--packages=external", "--splitting", `--outdir=${directory.path}`];
  const built = spawnSync(process.execPath, ["build", ...options, ...entries], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  for (const name of names) {
    const { status, stdout, stderr } = spawnSync(NODE, [join(directory.path, `${name}.js`), "--version"], {
      encoding: "utf8",
    });
    assert.match(
      stderr,
      /^eventspool[\w-]*: Node 20\.\d+\.\d+ is too old: upgrade to Node 22\.14\.0 or later\.\n$/,
    );
    assert.deepEqual([status, stdout], [2, ""], name);
  }
});
