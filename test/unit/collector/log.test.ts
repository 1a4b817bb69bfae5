import assert from "node:assert/strict";
import { test } from "node:test";
import { resetSync } from "@logtape/logtape";
import { logIgnoredIds, logRejection } from "../../../src/collector/log.ts";
import { captureLog } from "../../support/captured_log.ts";

test("logs the first of each kind of rejection, and the others only once in a while", () => {
  const records = captureLog();
  for (const status of [413, 413, 503, 413])
    logRejection({ status, message: "no", path: "/v2", cause: new Error("why") });
  for (const reason of ["unsigned", "unsigned", "clock"] as const) logIgnoredIds("a", reason, "x:1-2");
  resetSync();
  assert.deepEqual(
    records.map(({ level, properties }) => [level, properties.status ?? properties.keyName]),
    [
      ["warning", 413],
      ["error", 503],
      ["warning", "a"],
      ["warning", "a"],
    ],
  );
});
