import assert from "node:assert/strict";
import { test } from "node:test";
import { start } from "../../support/processes.ts";

for (const date of [
  "Mon, 23 Nov 2026 12:01:30 GMT",
  "Monday, 23-Nov-26 12:01:30 GMT",
  "Mon Nov 23 12:01:30 2026",
])
  test(`parses the Retry-After ${date} in any time zone`, async () => {
    const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0);
    const args = [date, String(nowMs)];
    await using program = start("test/support/programs/retry_after.ts", args, { TZ: "America/New_York" });
    assert.equal(await program.ended, 0);
    assert.deepEqual(program.stdout, ["300 90000"]);
  });
