import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_IDS_HEADER, formatEventIds } from "../../../src/wire/event_ids.ts";

const UUID = "6f1d2c3e-0000-4000-8000-000000000001";

test("names a range of rows by the queue's UUID and the first and last id", () => {
  assert.equal(formatEventIds(UUID, 101, 350), `${UUID}:101-350`);
  assert.equal(formatEventIds(UUID, 1, 2), `${UUID}:1-2`);
});

test("names one row by its id alone", () => {
  assert.equal(formatEventIds(UUID, 7, 7), `${UUID}:7`);
});

test("writes the largest ids as plain digits", () => {
  const id = Number.MAX_SAFE_INTEGER;
  assert.equal(formatEventIds(UUID, id - 1, id), `${UUID}:9007199254740990-9007199254740991`);
});

test("has the name that the collectors know", () => {
  assert.equal(EVENT_IDS_HEADER, "Event-Ids");
});
