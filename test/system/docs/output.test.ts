import assert from "node:assert/strict";
import { test } from "node:test";
import { isAsShown, stepsOf } from "./output.ts";

test("a block is read as commands, each with its output", () => {
  assert.deepEqual(stepsOf("$ a b\n1\n2\n\n$ c\n"), [
    { command: "a b", output: "1\n2" },
    { command: "c", output: "" },
  ]);
  assert.deepEqual(stepsOf("a b\n\nc\n"), [
    { command: "a b", output: undefined },
    { command: "c", output: undefined },
  ]);
});

test("output may differ only in times, ages, sizes, directories and spaces", () => {
  const shown = "main  2  1s ago  28.0 KiB  ok\n/var/lib/eventspool/events-main.db\n2026-11-24T14:31:53.352Z";
  assert.ok(
    isAsShown("main 2  17ms ago  3 MiB  ok\n\n/tmp/a-B1/events-main.db\n2027-01-01T00:00:00.000Z\n", shown),
  );
  assert.ok(!isAsShown(shown.replace("main  2", "main  3"), shown));
  assert.ok(!isAsShown(shown.replace("ok", "WARNING"), shown));
  assert.ok(!isAsShown(shown.replace("events-main", "events-other"), shown));
  assert.ok(!isAsShown(`${shown}\nmore`, shown));
});

test("JSON may differ only in fractions and times", () => {
  const shown = '{"status":"ok","depth":42,"age":2.189,"at":"2026-11-24T14:31:53.352Z","last":null}';
  assert.ok(isAsShown(shown.replace("2.189", "17.5"), shown));
  assert.ok(!isAsShown(shown.replace("42", "41"), shown));
  assert.ok(!isAsShown(shown.replace("null", '"an error"'), shown));
  assert.ok(!isAsShown(shown.replace('"age"', '"age_seconds"'), shown));
  assert.ok(!isAsShown(shown.replace("2.189", "null"), shown));
});
