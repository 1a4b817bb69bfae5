import assert from "node:assert/strict";
import { test } from "node:test";
import { resetSync } from "@logtape/logtape";
import { logIgnoredIds, logRejection } from "../../../src/collector/log.ts";
import type { IgnoredIdsReason } from "../../../src/collector/status.ts";
import { captureLog } from "../../support/captured_log.ts";

test("logs the first of each kind of rejection, and the others only once in a while", () => {
  const records = captureLog();
  // Kinds that no other test of this process logs.
  const [status, other] = [418, 599];
  const [reason, another] = ["first", "second"] as unknown as IgnoredIdsReason[];
  for (let times = 0; times < 100; times++) {
    logRejection({ status, message: "no", path: "/v2", cause: new Error("why") });
    logIgnoredIds("a", reason!, "x:1-2");
  }
  logRejection({ status: other, message: "no", path: "/v2", cause: new Error("why") });
  logIgnoredIds("b", another!, "x:1-2");
  resetSync();
  const countOf = (value: unknown): number =>
    records.filter(({ properties }) => (properties.status ?? properties.keyName) === value).length;
  for (const value of [status, "a"]) assert.ok(countOf(value) > 0 && countOf(value) < 10, String(value));
  assert.deepEqual([countOf(other), countOf("b")], [1, 1]);
  const levels = new Map(records.map(({ level, properties }) => [properties.status, level]));
  assert.deepEqual([levels.get(status), levels.get(other)], ["warning", "error"]);
});
