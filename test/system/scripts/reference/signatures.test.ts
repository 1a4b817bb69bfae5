import assert from "node:assert/strict";
import { test } from "node:test";
import type { Declaration } from "../../../../scripts/reference/deno_doc.ts";
import { declarationCode, wrapped } from "../../../../scripts/reference/signatures.ts";
import { type TsType, typeText } from "../../../../scripts/reference/ts_type.ts";

const STRING: TsType = { kind: "keyword", value: "string" };
const NUMBER: TsType = { kind: "keyword", value: "number" };
const location = { filename: "src/a.ts", byteIndex: 0 };

test("writes types as they stand in the sources", () => {
  const list: TsType = { kind: "typeOperator", value: { operator: "readonly", tsType: arrayOf(STRING) } };
  assert.equal(typeText(list), "readonly string[]");
  const callback: TsType = {
    kind: "fnOrConstructor",
    value: { constructor: false, params: [{ kind: "identifier", name: "of", tsType: list }], tsType: NUMBER },
  };
  assert.equal(typeText(callback), "(of: readonly string[]) => number");
  const record: TsType = { kind: "typeRef", value: { typeName: "Record", typeParams: [STRING, callback] } };
  assert.equal(typeText(record), "Record<string, (of: readonly string[]) => number>");
});

test("says so when it meets a type that it cannot write", () => {
  const type = { kind: "conditional", value: {} } as unknown as TsType;
  assert.throws(() => typeText(type), /There is a conditional type/);
});

test("shows of a class what its users see", () => {
  const declaration: Declaration = {
    location,
    kind: "class",
    def: {
      constructors: [{ accessibility: "private", params: [] }],
      properties: [{ name: "queue", readonly: true, tsType: STRING }],
      methods: [
        { name: "size", kind: "getter", functionDef: { params: [], returnType: NUMBER } },
        { name: "of", isStatic: true, functionDef: { params: [assigned("text")], returnType: NUMBER } },
      ],
      implements: [{ kind: "typeRef", value: { typeName: "Disposable" } }],
    },
  };
  assert.equal(
    declarationCode("A", declaration),
    "class A implements Disposable {\n  readonly queue: string;\n  readonly size: number;\n  static of(text?: string): number;\n}",
  );
});

test("breaks a long signature at its parameters, and nowhere else", () => {
  const long = `put(event: Record<string, (a: A, b: B) => void>, options: { a: A, b: B }, ${"x".repeat(60)}: X): void;`;
  assert.deepEqual(wrapped(long).split("\n"), [
    "put(",
    "  event: Record<string, (a: A, b: B) => void>,",
    "  options: { a: A, b: B },",
    `  ${"x".repeat(60)}: X,`,
    "): void;",
  ]);
  assert.equal(wrapped("put(event: A): void;", "  "), "  put(event: A): void;");
});

function arrayOf(value: TsType): TsType {
  return { kind: "array", value };
}

function assigned(name: string): { kind: string; left: { kind: string; name: string; tsType: TsType } } {
  return { kind: "assign", left: { kind: "identifier", name, tsType: STRING } };
}
