import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { EventSerializationError } from "../../../src/errors.ts";
import { serializeV2Event } from "../../../src/serializers/thrift.ts";
import { SchemaStruct, type VectorValue } from "../../support/thrift_structs.ts";
import { readVectors } from "../../support/vectors.ts";

interface Case {
  readonly name: string;
  readonly value: VectorValue;
  readonly json?: string;
  readonly json_error?: string;
  readonly json_is_valid_json?: boolean;
}

interface Quirk {
  readonly name: string;
  readonly json_text?: string;
}

/** An event's text, or the field that is rejected. */
type Outcome = { text: string } | { rejected: string };

const { cases, python_quirks: quirks } = readVectors<{ cases: Case[]; python_quirks: Quirk[] }>("thrift");

/** Where Python writes what no JSON parser reads: what we do. */
const INVALID_IN_PYTHON: Record<string, Outcome> = {
  string_nul: { text: '{"7":{"str":"a\\u0000b"}}' },
  string_ctrl_01: { text: '{"7":{"str":"\\u0001"}}' },
  string_esc_1f: { text: '{"7":{"str":"\\u001b[0m\\u001f"}}' },
  event_control_char: {
    text: '{"1":{"str":"global"},"2":{"str":"view"},"3":{"str":"bad\\u0000\\u001fchar"},"4":{"i64":1700000000123},"5":{"str":"20de9dec-6632-44fa-a3a3-ca29d177776d"}}',
  },
  double_nan: { rejected: "f_double" },
  double_inf: { rejected: "f_double" },
  list_double: { rejected: "f_list_double[4]" },
  map_structs: { rejected: "f_map_structs.keys[0]" },
};

/** Given a value that is not of the field's type: what we do. Python's answer stands in the vectors. */
const QUIRKS: Record<string, [struct: string, fields: Record<string, unknown>, Outcome | "as Python"]> = {
  i64_given_float: ["Event", { client_timestamp: 1700000000123.456 }, { rejected: "client_timestamp" }],
  // JavaScript does not tell 1700000000123.0 from 1700000000123.
  i64_given_float_integral: [
    "Event",
    { client_timestamp: 1700000000123.0 },
    { text: '{"4":{"i64":1700000000123}}' },
  ],
  bool_given_1: ["Event", { is_debug: 1 }, { rejected: "is_debug" }],
  i32_given_bool: ["AllTypes", { f_i32: true }, { rejected: "f_i32" }],
  i64_given_str: ["Event", { client_timestamp: "5" }, { rejected: "client_timestamp" }],
  string_given_int: ["Event", { source: 5 }, { rejected: "source" }],
  string_given_bytes: ["Event", { source: Buffer.from("web") }, { rejected: "source" }],
  binary_given_str: ["AllTypes", { f_binary: "abc" }, { rejected: "f_binary" }],
  double_given_int: ["AllTypes", { f_double: 3 }, "as Python"],
  double_given_bigint: ["AllTypes", { f_double: 2n ** 60n }, "as Python"],
  union_none_set: ["AllTypes", { f_union: new SchemaStruct("Choice", {}) }, "as Python"],
  union_two_set: ["AllTypes", { f_union: new SchemaStruct("Choice", { num: 1, text: "a" }) }, "as Python"],
  required_missing: ["Reqs", {}, "as Python"],
  enum_unknown: ["AllTypes", { f_enum: 99 }, "as Python"],
};

function outcomeOf(event: SchemaStruct): Outcome {
  try {
    return { text: Buffer.from(serializeV2Event(event)).toString() };
  } catch (error) {
    assert.ok(error instanceof EventSerializationError, String(error));
    return { rejected: error.field };
  }
}

/** Each case has one field at fault, and only one. */
function rejectedField({ value: { fields = {} } }: Case): string {
  return Object.keys(fields)[0]!;
}

function expectedOutcome(vector: Case): Outcome {
  if (vector.json_error !== undefined) return { rejected: rejectedField(vector) };
  if (vector.json_is_valid_json === false) return INVALID_IN_PYTHON[vector.name]!;
  return { text: Buffer.from(vector.json!, "base64").toString() };
}

for (const vector of cases) {
  test(`writes what Python writes, or rejects what it rejects: ${vector.name}`, () => {
    assert.deepEqual(outcomeOf(SchemaStruct.fromVector(vector.value)), expectedOutcome(vector));
  });
}

for (const quirk of quirks) {
  test(`has an answer for a value outside the field's type: ${quirk.name}`, () => {
    const [struct, fields, expected] = QUIRKS[quirk.name]!;
    const outcome = expected === "as Python" ? { text: quirk.json_text } : expected;
    assert.deepEqual(outcomeOf(new SchemaStruct(struct, fields)), outcome);
  });
}

test("lists no difference from Python that the vectors do not hold", () => {
  const invalid = cases.filter((vector) => vector.json_is_valid_json === false).map(({ name }) => name);
  assert.deepEqual(Object.keys(INVALID_IN_PYTHON).sort(), invalid.sort());
});
