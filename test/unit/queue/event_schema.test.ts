import assert from "node:assert/strict";
import { test } from "node:test";
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import { Event } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { ConfigurationError, EventInvalidError, EventSerializationError } from "../../../src/errors.ts";
import { EventQueue } from "../../../src/queue/event_queue.ts";
import { Outbox } from "../../../src/queue/outbox.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { EventTable } from "../../../src/storage/events.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { openShell } from "../../support/shell.ts";
import { SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const ZOD = z.object({
  kind: z.enum(["view", "vote"]),
  user: z.object({ id: z.string() }),
  items: z.array(z.object({ price: z.number() })),
  source: z.string().default("web"),
});
const VALIBOT = v.object({
  kind: v.picklist(["view", "vote"]),
  user: v.object({ id: v.string() }),
  items: v.array(v.object({ price: v.number() })),
  source: v.optional(v.string(), "web"),
});
const ARKTYPE = type({
  kind: "'view' | 'vote'",
  user: { id: "string" },
  items: type({ price: "number" }).array(),
  source: "string = 'web'",
});

const EVENT: z.input<typeof ZOD> = { kind: "view", user: { id: "u1" }, items: [{ price: 1 }] };

for (const [name, schema] of [
  ["zod", ZOD],
  ["valibot", VALIBOT],
  ["arktype", ARKTYPE],
] as const) {
  test(`stores what a schema of ${name} makes of an event, and rejects another, naming the field`, async () => {
    using directory = temporaryDirectory();
    // What type checkers make of each library is tested below.
    using queue = new EventQueue("main", serializeJsonEvent, { directory: directory.path, schema } as {
      directory: string;
      schema: typeof ZOD;
    });
    const isInvalid =
      (field: string, index?: number) =>
      (error: unknown): boolean =>
        error instanceof EventInvalidError && error.field === field && error.index === index;

    queue.put({ ...EVENT, items: [] });
    assert.throws(() => queue.put({ ...EVENT, user: { id: 5 as never } }), isInvalid("user.id"));
    const items = [{ price: 1 }, { price: 2 }, { price: 3 }, { price: "4" as never }];
    assert.throws(() => queue.put({ ...EVENT, items }), isInvalid("items[3].price"));
    assert.throws(() => queue.put(null as never), isInvalid(""));
    assert.throws(() => queue.putMany([EVENT, { ...EVENT, items }]), isInvalid("items[3].price", 1));
    await assert.rejects(queue.putAsync({ ...EVENT, kind: "click" as never }), isInvalid("kind"));
    await queue.putAsync({ ...EVENT, items: [] });
    queue.putMany([{ ...EVENT, items: [], source: "app" }]);

    const stored = (source: string): object => ({ ...EVENT, items: [], source });
    assert.deepEqual(readEvents(queue.file), [stored("web"), stored("web"), stored("app")]);
  });
}

test("counts what the schema rejects as invalid, each event of a putMany", () => {
  using directory = temporaryDirectory();
  {
    using queue = new EventQueue("main", serializeJsonEvent, {
      directory: directory.path,
      schema: z.string(),
    });
    assert.throws(() => queue.put(5 as never), EventInvalidError);
    assert.throws(() => queue.putMany(["a", 5 as never, "b"]), EventInvalidError);
  }
  const file = QueueFile.openReadOnly(`${directory.path}/events-main.db`);
  assert.deepEqual(new EventTable(file).state().rejectedPuts, {
    full: 0,
    too_large: 0,
    invalid: 4,
    storage: 0,
  });
  file.close();
});

test("rejects an asynchronous schema, and stores nothing", async () => {
  using directory = temporaryDirectory();
  const options = { directory: directory.path };
  const asyncRefinement = z.string().refine(async () => true);
  using refined = new EventQueue("refined", serializeJsonEvent, { ...options, schema: asyncRefinement });
  const asyncObject = v.objectAsync({ a: v.string() });
  using object = new EventQueue("object", serializeJsonEvent, { ...options, schema: asyncObject });
  const isRejected = (error: unknown): boolean =>
    error instanceof ConfigurationError && /validates asynchronously/.test(error.message);
  assert.throws(() => refined.put("x"), isRejected);
  await assert.rejects(object.putAsync({ a: "x" }), isRejected);
  assert.deepEqual([refined.depth(), object.depth()], [0, 0]);
});

test("leaves to the serializer what a schema lets pass", () => {
  using directory = temporaryDirectory();
  using queue = new EventQueue("main", serializeJsonEvent, {
    directory: directory.path,
    schema: z.object({ count: z.bigint() }),
  });
  assert.throws(() => queue.put({ count: 5n }), EventSerializationError);
});

test("makes Thrift events of what a schema takes", () => {
  using directory = temporaryDirectory();
  const schema = z
    .object({ action: z.string(), noun: z.string() })
    .transform((view) => new Event({ source: "web", client_timestamp: 5, uuid: "u", ...view }));
  using queue = new EventQueue("main", serializeV2Event, { directory: directory.path, schema });
  queue.put({ action: "view", noun: "page" });
  const [stored] = readEvents(queue.file) as Record<string, unknown>[];
  assert.deepEqual(stored?.["2"], { str: "view" });
});

function readEvents(file: string): unknown[] {
  const db = openShell(file, { isReadOnly: true });
  const bodies = db
    .prepareFirst<[], string>("SELECT CAST(body AS TEXT) FROM eventspool_event ORDER BY id")
    .all();
  db.close();
  return bodies.map((body) => JSON.parse(body));
}

/** Never called: what the type checker must infer and reject. */
export function typeErrors(): void {
  const viaZod = new EventQueue("main", serializeJsonEvent, { schema: ZOD });
  viaZod.put({ kind: "view", user: { id: "u1" }, items: [] }); // without `source`, which has a default
  // @ts-expect-error - there is no kind "click"
  viaZod.put({ kind: "click", user: { id: "u1" }, items: [] });
  // @ts-expect-error - an id is a string
  viaZod.put({ kind: "view", user: { id: 5 }, items: [] });
  // @ts-expect-error - items are missing
  viaZod.putMany([{ kind: "view", user: { id: "u1" } }]);
  // @ts-expect-error - nor has it a colour
  void viaZod.putAsync({ kind: "view", user: { id: "u1" }, items: [], colour: "red" });

  const viaValibot = new EventQueue("main", serializeJsonEvent, { schema: VALIBOT });
  viaValibot.put({ kind: "view", user: { id: "u1" }, items: [] });
  // @ts-expect-error - an id is a string
  viaValibot.put({ kind: "view", user: { id: 5 }, items: [] });

  const viaArktype = new EventQueue("main", serializeJsonEvent, { schema: ARKTYPE });
  viaArktype.put({ kind: "view", user: { id: "u1" }, items: [] });
  // @ts-expect-error - an id is a string
  viaArktype.put({ kind: "view", user: { id: 5 }, items: [] });

  const serializeText = (event: string): Uint8Array => Buffer.from(event);
  const lengths = z.string().transform((text) => text.length);
  // @ts-expect-error - the schema makes numbers, and the serializer takes strings
  new EventQueue("main", serializeText, { schema: lengths });
  const texts = new EventQueue("main", serializeText, { schema: z.number().transform(String) });
  texts.put(5);
  // @ts-expect-error - put takes what the schema takes, not what it makes
  texts.put("5");

  // Without a schema the serializer tells what put takes, or the type argument.
  const plain: EventQueue<string> = new EventQueue("main", serializeText);
  // @ts-expect-error - the serializer takes strings
  plain.put(5);
  const given = new EventQueue<{ action: string }>("main", serializeJsonEvent, { maxEvents: 5 });
  // @ts-expect-error - it has an action
  given.put({});
  // A queue is known by what put takes, so a schema may be added without a change of the code around it.
  const takes: EventQueue<number> = texts;
  takes.put(5);
}

test("an outbox takes a schema as a queue does, and stores what it makes of an event", () => {
  const db = SQLITE_LIBRARIES[0].open(":memory:");
  using outbox = new Outbox(db, serializeJsonEvent, { schema: ZOD, allowMemory: true });
  outbox.transaction(() => outbox.putMany([EVENT, { ...EVENT, source: "app" }]));
  assert.throws(() => outbox.put({ ...EVENT, user: { id: 5 as never } }), {
    field: "user.id",
    index: undefined,
  });
  assert.throws(() => outbox.putMany([EVENT, { ...EVENT, kind: "click" as never }]), {
    field: "kind",
    index: 1,
  });
  const bodies = db.prepare("SELECT body FROM eventspool_event ORDER BY id").all() as { body: Uint8Array }[];
  assert.deepEqual(
    bodies.map(({ body }) => JSON.parse(new TextDecoder().decode(body)).source),
    ["web", "app"],
  );
  db.close();
});
