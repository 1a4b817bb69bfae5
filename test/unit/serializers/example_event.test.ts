import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import thrift from "thrift";
import { Event, Theme, User } from "../../../examples/thrift/gen-nodejs/event_types.cjs";
import { serializeV2Event, v2SerializerOf } from "../../../src/serializers/thrift.ts";

const PAGE_VIEW = {
  source: "web",
  action: "view",
  noun: "page",
  client_timestamp: 1_700_000_000_123,
  uuid: "20de9dec-6632-44fa-a3a3-ca29d177776d",
};

test("writes an event filled out in TypeScript, nested structs as plain objects", () => {
  const event = new Event({
    ...PAGE_VIEW,
    user: { id: "t2_1", logged_in: true, created_timestamp: 2n ** 60n, flags: ["beta"] },
    geo: { country_code: "DE", lat: 52.52 },
    labels: { "a b": "\n", "10": "ten" },
    theme: Theme.DARK,
  });
  assert.equal(
    Buffer.from(serializeV2Event(event)).toString(),
    '{"1":{"str":"web"},"2":{"str":"view"},"3":{"str":"page"},"4":{"i64":1700000000123},' +
      '"5":{"str":"20de9dec-6632-44fa-a3a3-ca29d177776d"},' +
      '"6":{"rec":{"1":{"str":"t2_1"},"2":{"tf":1},"3":{"i64":1152921504606846976},"5":{"set":["str",1,"beta"]}}},' +
      '"8":{"rec":{"1":{"str":"DE"},"2":{"dbl":52.520000000000003}}},' +
      '"11":{"map":["str","str",2,{"10":"ten","a b":"\\n"}]},"13":{"i32":2}}',
  );
});

test("is read back by npm thrift as the event it was", () => {
  const event = new Event({
    ...PAGE_VIEW,
    user: { id: 'é"\\😀' },
    request: { port: 443, extra: { k: "v" } },
    tags: ["a", "b"],
    is_debug: false,
  });
  // npm thrift reads structs only in messages: [version, name, type, sequence id, struct].
  const message = `[1,"event",1,0,${Buffer.from(serializeV2Event(event))}]`;
  const transport = new thrift.TFramedTransport(Buffer.from(message));
  const input = new thrift.TJSONProtocol(transport);
  input.readMessageBegin();
  const read = new Event();
  read.read(input);
  const plain = (value: Event): unknown =>
    JSON.parse(
      JSON.stringify(value, (key, member) => (key === "client_timestamp" ? Number(member) : member)),
    );
  assert.deepEqual(plain(read), plain(event));
});

test("does not compile with a wrong field name or type", () => {
  // @ts-expect-error - the field is called logged_in
  new User({ loggedIn: true });
  // @ts-expect-error - an i64 is no text
  new Event({ ...PAGE_VIEW, client_timestamp: "now" });
  // @ts-expect-error - source, action, ... are not optional
  new Event({ source: "web" });
  assert.equal(Buffer.from(serializeV2Event(new User({ id: "t2_1" }))).toString(), '{"1":{"str":"t2_1"}}');
});

test("names the field of the example that is at fault", () => {
  const event = new Event({ ...PAGE_VIEW, user: { flags: ["a", 5 as never] } });
  assert.throws(
    () => serializeV2Event(event),
    /^EventSerializationError: Event field user.flags\[1\] is 5: string takes strings$/,
  );
  event.user = { id: "t2_1" } as User;
  assert.throws(() => serializeV2Event(event), /Event field user cannot be written: /);
});

test("writes plain fields of one struct as an event of it", () => {
  const serialize = v2SerializerOf(Event);
  const fields = { ...PAGE_VIEW, user: { id: "t2_1" }, theme: Theme.DARK };
  assert.deepEqual(serialize(fields), serializeV2Event(new Event(fields)));
  const event = new Event(fields);
  assert.deepEqual(serialize(event), serializeV2Event(event), "an event has its fields, too");
  // @ts-expect-error - the field is called logged_in
  const misspelt = (): Uint8Array => serialize({ ...PAGE_VIEW, user: { loggedIn: true } });
  assert.throws(
    misspelt,
    /Event field user.loggedIn is not a field of its struct: did you mean logged_in\?$/,
  );
  // @ts-expect-error - an i64 is no text
  const wrong = (): Uint8Array => serialize({ ...PAGE_VIEW, client_timestamp: "now" });
  assert.throws(wrong, /Event field client_timestamp is /);
  for (const nothing of [null, undefined, "view"])
    assert.throws(
      () => serialize(nothing as never),
      /^EventSerializationError: Event is .*: pass an object with its fields$/,
    );
});
