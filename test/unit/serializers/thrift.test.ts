import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import thrift from "thrift";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeV2Event, type ThriftStruct } from "../../../src/serializers/thrift.ts";
import type { ThriftJsonWriter } from "../../../src/serializers/thrift_protocol.ts";
import fc from "../../support/fast_check.ts";
import { SchemaStruct } from "../../support/thrift_structs.ts";

function textOf(event: ThriftStruct): string {
  return Buffer.from(serializeV2Event(event)).toString();
}

function assertRejected(event: ThriftStruct, field: string, problem: RegExp): void {
  assert.throws(
    () => serializeV2Event(event),
    (error) =>
      error instanceof EventSerializationError && error.field === field && problem.test(error.message),
  );
}

const allTypes = (fields: Record<string, unknown>): SchemaStruct => new SchemaStruct("AllTypes", fields);

/** A struct with one field, written by hand. */
function struct(name: string, write: (output: ThriftJsonWriter) => void): ThriftStruct {
  return {
    write(output: ThriftJsonWriter) {
      output.writeStructBegin("Struct");
      output.writeFieldBegin(name, 12, 1);
      write(output);
      output.writeFieldEnd();
      output.writeStructEnd();
    },
  };
}

/** Also of more than 128 characters, and of more than 4,096 bytes. */
const anyString: fc.Arbitrary<string> = fc
  .tuple(fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" })), fc.nat(200))
  .map(([text, times]) => text.repeat(times));

test("writes every string as JSON does, in UTF-8: as a field, an element, a key and a value", () => {
  fc.assert(
    fc.property(anyString, (text) => {
      const event = allTypes({ f_string: text, f_list_string: [text, text], f_map_ss: [[text, text]] });
      const map = JSON.stringify({ [text]: text });
      const json = JSON.stringify({ 7: { str: text }, 13: { lst: ["str", 2, text, text] } });
      const expected = `${json.slice(0, -1)},"22":{"map":["str","str",1,${map}]}}`;
      assert.deepEqual(Buffer.from(serializeV2Event(event)), Buffer.from(expected));
    }),
  );
});

test("gives back every byte string as standard Base64", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = JSON.parse(textOf(allTypes({ f_binary: bytes })))[8].str;
      assert.deepEqual(new Uint8Array(Buffer.from(text, "base64")), bytes);
    }),
  );
});

test("writes a 64-bit integer alike from a BigInt, an Int64 and a safe number", () => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (value) => {
      const int64 =
        thrift.Int64 &&
        new thrift.Int64(Buffer.from(BigInt.asUintN(64, value).toString(16).padStart(16, "0"), "hex"));
      const expected = `{"5":{"i64":${value}}}`;
      assert.equal(textOf(allTypes({ f_i64: value })), expected);
      assert.equal(textOf(allTypes({ f_i64: int64 })), expected);
      if (Number.isSafeInteger(Number(value)))
        assert.equal(textOf(allTypes({ f_i64: Number(value) })), expected);
    }),
  );
});

test("rejects numbers as i64 that may have lost digits, and says to pass a BigInt", () => {
  assertRejected(allTypes({ f_i64: 2 ** 53 }), "f_i64", /9007199254740992.*pass a BigInt/);
  assertRejected(allTypes({ f_i64: 1.5 }), "f_i64", /is 1.5: .*round it/);
  assertRejected(
    allTypes({ f_i64: 1e300 }),
    "f_i64",
    /is 1e\+300: i64 takes integers from -9223372036854775808 to 9223372036854775807$/,
  );
});

test("takes map keys as JavaScript's objects hold them: as strings", () => {
  const event = allTypes({
    f_map_i32s: [["-7", "a"]],
    f_map_i64i64: [["9007199254740993", 1]],
    f_map_bools: [
      ["true", "a"],
      ["false", "b"],
    ],
    f_map_doubles: [
      ["0.1", "a"],
      ["-Infinity", "b"],
    ],
  });
  assert.equal(
    textOf(event),
    '{"24":{"map":["i32","str",1,{"-7":"a"}]},"25":{"map":["i64","i64",1,{"9007199254740993":1}]},' +
      '"26":{"map":["tf","str",2,{"1":"a","0":"b"}]},"27":{"map":["dbl","str",2,{"0.10000000000000001":"a","-inf":"b"}]}}',
  );
});

test("rejects a map key in another form, so that no two keys become one", () => {
  for (const key of ["01", "+1", "1.0", "-0", "", " 1", "a", "9223372036854775808"]) {
    assertRejected(allTypes({ f_map_i64i64: [[key, 1]] }), "f_map_i64i64.keys[0]", /is a string: i64 takes/);
  }
  assertRejected(allTypes({ f_map_doubles: [["1.0", "a"]] }), "f_map_doubles.keys[0]", /is a string/);
  assertRejected(allTypes({ f_map_bools: [["1", "a"]] }), "f_map_bools.keys[0]", /is a string: bool takes/);
});

test("takes numbers as strings for map keys only", () => {
  assertRejected(allTypes({ f_i32: "7" }), "f_i32", /is a string/);
  assertRejected(allTypes({ f_bool: "true" }), "f_bool", /is a string/);
  assertRejected(allTypes({ f_double: "0.5" }), "f_double", /is a string/);
  assertRejected(allTypes({ f_double: 2n ** 53n + 1n }), "f_double", /cannot hold without rounding/);
});

test("names the field at fault, however deep", () => {
  const user = new SchemaStruct("User", { id: "u", flags: ["a", "b", 3] });
  assertRejected(
    new SchemaStruct("Event", { source: "web", user }),
    "user.flags[2]",
    /is 3: string takes strings/,
  );
  const nested = [
    ["first", []],
    [
      "k",
      [
        [["a", 1]],
        [
          ["b", 2],
          ["c", 0.5],
        ],
      ],
    ],
  ];
  assertRejected(allTypes({ f_map_nested: nested }), 'f_map_nested["k"][1]["c"]', /is 0.5/);
  const batch = new SchemaStruct("EventBatch", {
    events: [
      new SchemaStruct("Event", {}),
      new SchemaStruct("Event", {
        labels: [
          ["k", "v"],
          [7, "v"],
        ],
      }),
    ],
  });
  assertRejected(batch, "events[1].labels.keys[1]", /is 7/);
});

test("shortens a long map key and a long path in an error", () => {
  const event = allTypes({ f_map_ss: [["k".repeat(100_000), 5]] });
  assert.throws(
    () => serializeV2Event(event),
    (error: Error) => error.message.length < 200,
  );
});

test("shows no text of the event in an error", () => {
  assert.throws(
    () => serializeV2Event(allTypes({ f_i32: "hunter2" })),
    (error: Error) => !error.message.includes("hunter2"),
  );
  assert.throws(
    () => serializeV2Event(allTypes({ f_string: "hunter2\ud800" })),
    (error: Error) => !error.message.includes("hunter2"),
  );
});

test("rejects what is no generated struct, and says what to pass", () => {
  for (const event of [undefined, null, {}, "event", { write: 1 }]) {
    assertRejected(event as never, "", /^Event has no write method: pass an instance of a class/);
  }
});

test("rejects a struct that writes nothing or only a part", () => {
  assertRejected({ write() {} }, "", /was not written completely/);
  assertRejected(
    { write: (output: ThriftJsonWriter) => output.writeStructBegin("Event") },
    "",
    /was not written completely/,
  );
});

test("rejects a struct that writes itself twice, which would break the batch", () => {
  const once = struct("field", (output) => output.writeI32(1));
  const twice = {
    write(output: never) {
      once.write(output);
      once.write(output);
    },
  };
  assertRejected(twice, "", /was written twice/);
});

test("wraps what a struct's write throws, with the field and the cause", () => {
  const cause = new TypeError("this.user.write is not a function");
  const event = struct("user", () => {
    throw cause;
  });
  assert.throws(
    () => serializeV2Event(event),
    (error) => error instanceof EventSerializationError && error.field === "user" && error.cause === cause,
  );
});

test("rejects a struct that contains itself", () => {
  const cyclic: ThriftStruct = struct("parent", (output) => cyclic.write(output as never));
  assertRejected(cyclic, `${"parent.".repeat(36)}pare...`, /deeper than 512 .* does it contain itself/);
});

test("rejects a list that announces another number of elements than it writes", () => {
  const event = struct("tags", (output) => {
    output.writeListBegin(11, 2);
    output.writeString("a");
    output.writeListEnd();
  });
  assertRejected(event, "tags", /announced 2 elements and wrote 1/);
});

test("rejects a list without a length, such as a Set", () => {
  assertRejected(
    struct("tags", (output) => output.writeListBegin(11, undefined as never)),
    "tags",
    /pass lists and sets as arrays/,
  );
});

test("writes fields in the order of their ids, as Python does, in whatever order they come", () => {
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 32_767 }), { minLength: 1 });
  fc.assert(
    fc.property(ids, (order) => {
      const inner = (output: ThriftJsonWriter): void => {
        output.writeStructBegin("Inner");
        for (const id of order) {
          output.writeFieldBegin(`f${id}`, 8, id);
          output.writeI32(id);
          output.writeFieldEnd();
        }
        output.writeStructEnd();
      };
      const fields = order.toSorted((a, b) => a - b).map((id) => `"${id}":{"i32":${id}}`);
      assert.equal(textOf(struct("inner", inner)), `{"1":{"rec":{${fields.join(",")}}}}`);
    }),
  );
});

test("serializes an event while another is being serialized", () => {
  let inner = "";
  const event = struct("f", (output) => {
    inner = textOf(allTypes({ f_i32: 1 }));
    output.writeI32(2);
  });
  assert.equal(textOf(event), '{"1":{"rec":2}}');
  assert.equal(inner, '{"4":{"i32":1}}');
});

test("leaves nothing of a rejected event in the next", () => {
  assertRejected(allTypes({ f_i32: 1, f_list_string: ["a", 5] }), "f_list_string[1]", /is 5/);
  assert.equal(textOf(allTypes({ f_bool: true })), '{"1":{"tf":1}}');
});

test("gives bytes of its own for every event", () => {
  const first = serializeV2Event(allTypes({ f_i32: 1 }));
  serializeV2Event(allTypes({ f_i32: 2 }));
  assert.equal(Buffer.from(first).toString(), '{"4":{"i32":1}}');
});

test("writes UUIDs, as newer compilers' code asks for", () => {
  const uuid = "123E4567-e89b-12d3-a456-426614174000";
  assert.equal(
    textOf(struct("id", (output) => output.writeUuid(uuid))),
    '{"1":{"rec":"123e4567-e89b-12d3-a456-426614174000"}}',
  );
  assertRejected(
    struct("id", (output) => output.writeUuid("123")),
    "id",
    /not a UUID/,
  );
});

for (const [what, write] of [
  [
    "a message",
    (output: ThriftJsonWriter) => {
      output.writeMessageBegin("m", 1, 0);
      struct("id", (inner) => inner.writeI32(1)).write(output as never);
      output.writeMessageEnd();
    },
  ],
  ["a string", (output: ThriftJsonWriter) => output.writeString("a")],
  [
    "a list",
    (output: ThriftJsonWriter) => {
      output.writeListBegin(8, 0);
      output.writeListEnd();
    },
  ],
] as const)
  test(`rejects an event that writes ${what}: batches are lists of structs`, () => {
    assertRejected({ write }, "", /is not a struct/);
  });
