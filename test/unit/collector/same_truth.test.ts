import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEvents } from "../../../src/collector/batch_parser.ts";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { MAX_EVENT_DEPTH } from "../../../src/serializers/problems.ts";
import { serializeV2Event, type ThriftStruct } from "../../../src/serializers/thrift.ts";
import { THRIFT_TYPES, type ThriftJsonWriter } from "../../../src/serializers/thrift_protocol.ts";
import fc from "../../support/fast_check.ts";

/** The rejections of a batch of one event, with and without checks of structs. */
function rejectionsOf(event: Uint8Array, version: "2" | "2j"): string[] {
  const [before, after] = version === "2" ? ['{"1":{"lst":["rec",1,', "]}}"] : ["[", "]"];
  const body = Buffer.concat([Buffer.from(before), event, Buffer.from(after)]);
  return [true, false].flatMap((checkStructs) =>
    parseEvents(body, version, { checkStructs })
      .rejections.list()
      .map(({ error }) => error),
  );
}

/** The bytes of an event; undefined if the serializer rejects it. */
function serialized(serialize: () => Uint8Array): Uint8Array | undefined {
  try {
    return serialize();
  } catch (error) {
    assert.ok(error instanceof EventSerializationError, String(error));
    return undefined;
  }
}

type TypeName = keyof typeof THRIFT_TYPES;
/** Writes a value of its type. */
type Write = (output: ThriftJsonWriter) => void;
interface Typed {
  readonly type: TypeName;
  readonly write: Write;
}

const scalars: Partial<Record<TypeName, fc.Arbitrary<Write>>> = {
  tf: fc.boolean().map((value) => (output) => output.writeBool(value)),
  i8: fc.integer({ min: -128, max: 127 }).map((value) => (output) => output.writeByte(value)),
  i16: fc.integer({ min: -32_768, max: 32_767 }).map((value) => (output) => output.writeI16(value)),
  i32: fc.integer().map((value) => (output) => output.writeI32(value)),
  i64: fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((value) => (output) => output.writeI64(value)),
  dbl: fc.double().map((value) => (output) => output.writeDouble(value)),
  str: fc.oneof(
    fc.string({ unit: "binary" }).map(
      (value): Write =>
        (output) =>
          output.writeString(value),
    ),
    fc.uint8Array().map(
      (value): Write =>
        (output) =>
          output.writeBinary(value),
    ),
  ),
  uid: fc.uuid().map((value) => (output) => output.writeUuid(value)),
};

const { value: typedValues } = fc.letrec<{ value: Typed }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    ...Object.entries(scalars).map(([type, writes]) =>
      writes.map((write) => ({ type: type as TypeName, write })),
    ),
    fc.array(tie("value") as fc.Arbitrary<Typed>, { maxLength: 4 }).map(structOf),
    fc.tuple(tie("value") as fc.Arbitrary<Typed>, fc.nat(3), fc.boolean()).map(listOf),
    fc
      .tuple(fc.constantFrom(...Object.keys(scalars)), tie("value") as fc.Arbitrary<Typed>, fc.nat(1))
      .map(mapOf),
  ),
}));

function structOf(fields: readonly Typed[]): Typed {
  return {
    type: "rec",
    write: (output) => {
      output.writeStructBegin("s");
      for (const [index, { type, write }] of fields.entries()) {
        output.writeFieldBegin(`f${index}`, THRIFT_TYPES[type], index + 1);
        write(output);
        output.writeFieldEnd();
      }
      output.writeStructEnd();
    },
  };
}

function listOf([{ type, write }, length, isSet]: readonly [Typed, number, boolean]): Typed {
  return {
    type: isSet ? "set" : "lst",
    write: (output) => {
      output.writeListBegin(THRIFT_TYPES[type], length);
      for (let index = 0; index < length; index++) write(output);
      output.writeListEnd();
    },
  };
}

function mapOf([keyType, value, size]: readonly [string, Typed, number]): Typed {
  const [key] = fc.sample(scalars[keyType as TypeName]!, 1);
  return {
    type: "map",
    write: (output) => {
      output.writeMapBegin(THRIFT_TYPES[keyType as TypeName], THRIFT_TYPES[value.type], size);
      for (let index = 0; index < size; index++) {
        key!(output);
        value.write(output);
      }
      output.writeMapEnd();
    },
  };
}

const eventOf = (...fields: readonly Typed[]): ThriftStruct => ({ write: structOf(fields).write as never });

test("the collector accepts everything that the Thrift serializer writes", () => {
  const written = new Set<string>();
  fc.assert(
    fc.property(fc.array(typedValues, { maxLength: 6 }), (fields) => {
      const event = serialized(() => serializeV2Event(eventOf(...fields)));
      if (event === undefined) return;
      for (const { type } of fields) written.add(type);
      assert.deepEqual(rejectionsOf(event, "2"), [], Buffer.from(event).toString());
    }),
    { numRuns: 3_000 },
  );
  assert.deepEqual(written, new Set(Object.keys(THRIFT_TYPES)), "all types were there");
});

test("the collector accepts everything that the JSON serializer writes", () => {
  const values = fc.anything({ withDate: true, withMap: true, withSet: true, withTypedArray: true });
  fc.assert(
    fc.property(values, (value) => {
      const event = serialized(() => serializeJsonEvent(value));
      if (event !== undefined) assert.deepEqual(rejectionsOf(event, "2j"), []);
    }),
    { numRuns: 3_000 },
  );
});

const wrappers: readonly (readonly [what: string, wrap: (inner: Typed) => Typed, jsonDepth: number])[] = [
  ["structs", (inner) => structOf([inner]), 2],
  ["lists", (inner) => listOf([inner, 1, false]), 1],
  ["sets", (inner) => listOf([inner, 1, true]), 1],
  ["maps", (inner) => mapOf(["str", inner, 1]), 2],
];
const leaf: Typed = { type: "i32", write: (output) => output.writeI32(1) };

for (const [what, wrap, jsonDepth] of wrappers)
  test(`put and the collector have the same limit of depth for ${what}`, () => {
    let deepest = 0;
    let value = leaf;
    for (let count = 1; count <= MAX_EVENT_DEPTH; count++) {
      value = wrap(value);
      const event = serialized(() => serializeV2Event(eventOf(value)));
      if (event === undefined) break;
      assert.deepEqual(rejectionsOf(event, "2"), [], `${count} ${what}`);
      deepest = count;
    }
    assert.equal(deepest, (MAX_EVENT_DEPTH - 2) / jsonDepth, "a struct is around them");
  });

test("put and the collector have the same limit of depth for arrays and objects", () => {
  const nested = (depth: number, inside: string): unknown =>
    JSON.parse('[{"[{":'.repeat(depth / 2) + JSON.stringify(inside) + "}]".repeat(depth / 2));
  const brackets = '\\"[{'.repeat(1_000);
  const event = serializeJsonEvent(nested(MAX_EVENT_DEPTH, brackets));
  assert.deepEqual(rejectionsOf(event, "2j"), []);
  assert.deepEqual(rejectionsOf(serializeJsonEvent(Array(2_000).fill([[{}]])), "2j"), []);
  assert.throws(
    () => serializeJsonEvent(nested(MAX_EVENT_DEPTH + 2, "")),
    /^EventSerializationError: Event field .* is nested deeper than 512/,
  );
  const tooDeep = Buffer.from(JSON.stringify(nested(MAX_EVENT_DEPTH + 2, "")));
  assert.match(rejectionsOf(tooDeep, "2j")[0]!, /^nests deeper than 512/);
});
