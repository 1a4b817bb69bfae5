import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import * as z from "zod";
import {
  ConfigurationError,
  EventInvalidError,
  EventQueueClosedError,
  EventQueueFullError,
  EventSerializationError,
  EventStorageError,
  EventTooLargeError,
} from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { TestEventQueue } from "../../../src/testing/mod.ts";
import { start } from "../../support/processes.ts";

test("events are listed in order, as they would be sent", async () => {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  queue.put({ n: 1, at: new Date(0), left: undefined });
  queue.putMany([{ n: 2 }, { n: 3 }]);
  await queue.putAsync({ n: 4 });
  assert.deepEqual(queue.events, [{ n: 1, at: "1970-01-01T00:00:00.000Z" }, { n: 2 }, { n: 3 }, { n: 4 }]);
  assert.deepEqual(queue.bodies.slice(1, 2).map(String), ['{"n":2}']);
  assert.equal(queue.depth(), 4);
  assert.equal(queue.name, "main");
});

test("it is an EventQueue, with the same errors", () => {
  using queue = new TestEventQueue("small", serializeJsonEvent, { maxEvents: 2, maxEventBytes: 10 });
  assert.ok(queue instanceof EventQueue);
  assert.throws(() => queue.put("x".repeat(9)), EventTooLargeError);
  assert.throws(() => queue.put(5n), EventSerializationError);
  queue.put(1);
  assert.throws(() => queue.putMany([2, 3]), EventQueueFullError);
  queue.put(2);
  assert.throws(() => queue.put(3), EventQueueFullError);
  assert.deepEqual(queue.events, [1, 2]);
  assert.throws(() => new TestEventQueue("a/b", serializeJsonEvent), ConfigurationError);
  assert.throws(() => new TestEventQueue("a", serializeJsonEvent, { maxEvents: 0 }), ConfigurationError);
});

test("it checks events with a schema", () => {
  const schema = z.object({ action: z.string(), source: z.string().default("web") });
  using queue = new TestEventQueue("main", serializeJsonEvent, { schema });
  queue.put({ action: "view" });
  // @ts-expect-error - an action is a string
  assert.throws(() => queue.put({ action: 5 }), EventInvalidError);
  assert.deepEqual(queue.events, [{ action: "view", source: "web" }]);
});

test("two queues of one name are separate", () => {
  using a = new TestEventQueue("main", serializeJsonEvent);
  using b = new TestEventQueue("main", serializeJsonEvent);
  a.put("a");
  b.put("b");
  assert.deepEqual([a.events, b.events], [["a"], ["b"]]);
});

test("after clear it is empty, and has the same cap", () => {
  using queue = new TestEventQueue("main", serializeJsonEvent, { maxEvents: 3 });
  for (let round = 0; round < 3; round++) {
    queue.putMany([1, 2, 3]);
    assert.throws(() => queue.put(4), EventQueueFullError);
    queue.clear();
    assert.deepEqual([queue.events, queue.depth()], [[], 0]);
  }
  queue.clear();
  queue.put(5);
  assert.deepEqual(queue.events, [5]);
});

test("failWith makes puts throw and store nothing", async () => {
  using queue = new TestEventQueue("main", serializeJsonEvent);
  const full = new EventQueueFullError(10, 10, "main");
  queue.failWith(full);
  assert.throws(() => queue.put(1), full);
  assert.throws(() => queue.putMany([1, 2]), full);
  await assert.rejects(queue.putAsync(1), full);
  assert.equal(queue.depth(), 0);
  queue.failWith(undefined);
  queue.put(1);

  const broken = new EventStorageError("SQLITE_FULL", "/queue", "The disk is full.");
  queue.failWith(broken, { times: 2 });
  assert.throws(() => queue.put(2), broken);
  assert.throws(() => queue.put(2), broken);
  queue.put(2);
  queue.put(3);
  assert.deepEqual(queue.events, [1, 2, 3]);
});

test("after close its events can still be read, and its file is gone", async () => {
  const queue = new TestEventQueue("main", serializeJsonEvent);
  const directory = dirname(queue.file);
  queue.put(1);
  const gathering = queue.putAsync(2);
  assert.ok(existsSync(directory));
  queue.close();
  queue.close();
  await gathering;
  assert.deepEqual(queue.events, [1, 2]);
  queue.failWith(new Error("not told any more"));
  assert.throws(() => queue.put(3), EventQueueClosedError);
  assert.ok(!existsSync(directory));
});

test("a file that a test does not close is removed at exit, or by the next process if there is no exit event", async () => {
  const open = async (how: string): Promise<string> => {
    await using program = start("test/support/programs/forgetful_test.ts", [how]);
    const line = await program.line(/^directory /);
    await program.ended;
    return line.replace("directory ", "");
  };
  const left = await open("killed");
  const removed = await open("ends");
  assert.deepEqual([left, removed].filter(existsSync), []);
});
