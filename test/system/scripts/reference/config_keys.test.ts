import assert from "node:assert/strict";
import { test } from "node:test";
import { configKeysOf } from "../../../../scripts/reference/config_keys.ts";
import type { DocModule, DocSymbol, Property } from "../../../../scripts/reference/deno_doc.ts";
import type { TsType } from "../../../../scripts/reference/ts_type.ts";

const FILE = "src/config/a_config.ts";
const STRING: TsType = { kind: "keyword", value: "string" };

function interfaceOf(name: string, ...properties: Property[]): DocSymbol {
  const location = { filename: FILE, byteIndex: 0 };
  return { name, declarations: [{ location, kind: "interface", def: { properties } }] };
}

function property(name: string, doc: string, tsType: TsType = STRING): Property {
  return { name, jsDoc: { doc }, tsType };
}

function keysOf(type: DocSymbol, ...others: DocSymbol[]): ReturnType<typeof configKeysOf> {
  const docs = new Map<string, DocModule>([[FILE, { doc: {}, symbols: [type, ...others] }]]);
  return configKeysOf(type, docs);
}

test("finds the key that a docstring begins with, its meaning without the unit, its default", () => {
  const type = interfaceOf(
    "A",
    property("maxAgeMs", "`batch.max_age` (ours): how long it may wait, in milliseconds. Default: 1 s."),
  );
  assert.deepEqual(keysOf(type), [
    { keys: ["batch.max_age"], kind: "duration", meaning: "How long it may wait.", fallback: "1 s" },
  ]);
});

test("finds several keys of one docstring, and those of a list in it", () => {
  const type = interfaceOf(
    "A",
    property("secret", "`key.secret`, or what the file `key.secret_file` holds: what signs."),
    property("url", "Where to, made of:\n\n- `host`: a name\n- `port`: a number. Default: 80."),
  );
  const found = keysOf(type).map(({ keys, fallback }) => [...keys, fallback]);
  assert.deepEqual(found, [
    ["key.secret", "key.secret_file", ""],
    ["host", ""],
    ["port", "80"],
  ]);
});

test("looks into the types that a configuration contains, whichever of several it is", () => {
  const local = (typeName: string): TsType =>
    ({ kind: "typeRef", value: { typeName, resolution: { kind: "local" } } }) as TsType;
  const kind = (name: string): Property => ({
    name: "kind",
    tsType: { kind: "literal", value: { kind: "string", string: name } },
  });
  const type = interfaceOf(
    "A",
    property("destination", "`destination`: where to.", { kind: "union", value: [local("B"), local("C")] }),
  );
  const others = [
    interfaceOf("B", kind("b"), property("path", "`b.path`: a file.")),
    interfaceOf(
      "C",
      kind("c"),
      property("port", "`c.port`: a number.", { kind: "keyword", value: "number" }),
    ),
  ];
  assert.deepEqual(
    keysOf(type, ...others).map(({ keys, kind }) => [...keys, kind]),
    [
      ["destination", "`b` or `c`"],
      ["b.path", "text"],
      ["c.port", "whole number"],
    ],
  );
});

test("passes over what comes from no key", () => {
  assert.deepEqual(keysOf(interfaceOf("A", property("warnings", "What is likely not meant."))), []);
});
