import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { start } from "../../../support/processes.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

for (const umask of [0, 0o077])
  test(`output files and journals have their modes, whatever the umask: 0${umask.toString(8)}`, async () => {
    using directory = temporaryDirectory();
    await using writer = start("test/support/programs/umask_files.ts", [directory.path, String(umask)]);
    assert.equal(await writer.ended, 0, writer.stderr.join("\n"));
    const names = readdirSync(directory.path);
    assert.ok(names.length >= 10, names.join());
    for (const name of names) {
      const mode = name.includes("-640") && !name.endsWith("-lock") ? 0o640 : 0o600;
      assert.equal(statSync(join(directory.path, name)).mode & 0o777, mode, name);
    }
  });
