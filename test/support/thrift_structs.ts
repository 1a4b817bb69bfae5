import { Buffer } from "node:buffer";
import type { ThriftJsonWriter } from "../../src/serializers/thrift_protocol.ts";
import { readVectors } from "./vectors.ts";

/** A typed value of test/vectors/thrift.json. */
export interface VectorValue {
  readonly t: string;
  readonly v?: unknown;
  /** A double's IEEE-754 bits in hex. */
  readonly bits?: string;
  /** A struct's type. */
  readonly name?: string;
  readonly fields?: Record<string, VectorValue>;
}

interface SchemaType {
  readonly t: string;
  readonly name?: string;
  readonly kt?: SchemaType;
  readonly vt?: SchemaType;
  readonly et?: SchemaType;
}

interface SchemaField {
  readonly id: number;
  readonly name: string;
  readonly type: SchemaType;
  readonly default?: unknown;
}

const SCHEMA = readVectors<Record<string, readonly SchemaField[]>>("schema");

const TYPE_IDS: Record<string, number> = {
  bool: 2,
  byte: 3,
  double: 4,
  i16: 6,
  i32: 8,
  enum: 8,
  i64: 10,
  string: 11,
  binary: 11,
  struct: 12,
  map: 13,
  set: 14,
  list: 15,
};

/** A struct that writes itself as Python's generated code does: fields by ascending id, unset ones left out. */
export class SchemaStruct {
  readonly #type: string;
  readonly #fields: Record<string, unknown>;

  /** Lists and sets are arrays, maps arrays of pairs, so that any key of any type can be given. */
  constructor(type: string, fields: Record<string, unknown>) {
    this.#type = type;
    this.#fields = fields;
  }

  /** What a vector's value describes. */
  static fromVector({ name = "", fields = {} }: VectorValue): SchemaStruct {
    const given = Object.entries(fields).map(([field, value]) => [field, plainValue(value)]);
    return new SchemaStruct(name, Object.fromEntries(given));
  }

  write(output: ThriftJsonWriter): void {
    output.writeStructBegin(this.#type);
    for (const field of SCHEMA[this.#type]!) {
      const value = this.#fields[field.name] ?? field.default;
      if (value === undefined) continue;
      output.writeFieldBegin(field.name, TYPE_IDS[field.type.t]!, field.id);
      writeValue(output, field.type, value);
      output.writeFieldEnd();
    }
    output.writeFieldStop();
    output.writeStructEnd();
  }
}

function plainValue({ t, v, bits, ...struct }: VectorValue): unknown {
  if (t === "struct") return SchemaStruct.fromVector({ t, ...struct });
  if (t === "i64") return BigInt(v as string);
  if (t === "double") return Buffer.from(bits!, "hex").readDoubleBE();
  if (t === "binary") return Buffer.from(v as string, "base64");
  if (t === "list" || t === "set") return (v as VectorValue[]).map(plainValue);
  if (t === "map") return (v as VectorValue[][]).map((entry) => entry.map(plainValue));
  return v;
}

type Write = (output: ThriftJsonWriter, value: never, type: SchemaType) => void;

const WRITE: Record<string, Write> = {
  bool: (output, value) => output.writeBool(value),
  byte: (output, value) => output.writeByte(value),
  i16: (output, value) => output.writeI16(value),
  i32: (output, value) => output.writeI32(value),
  i64: (output, value) => output.writeI64(value),
  double: (output, value) => output.writeDouble(value),
  string: (output, value) => output.writeString(value),
  binary: (output, value) => output.writeBinary(value),
  struct: (output, value: SchemaStruct) => value.write(output),
  list(output, value: unknown[], { et }) {
    output.writeListBegin(TYPE_IDS[et!.t]!, value.length);
    for (const element of value) writeValue(output, et!, element);
    output.writeListEnd();
  },
  set(output, value: unknown[], { et }) {
    output.writeSetBegin(TYPE_IDS[et!.t]!, value.length);
    for (const element of value) writeValue(output, et!, element);
    output.writeSetEnd();
  },
  map(output, value: [unknown, unknown][], { kt, vt }) {
    output.writeMapBegin(TYPE_IDS[kt!.t]!, TYPE_IDS[vt!.t]!, value.length);
    for (const [key, item] of value) {
      writeValue(output, kt!, key);
      writeValue(output, vt!, item);
    }
    output.writeMapEnd();
  },
};

function writeValue(output: ThriftJsonWriter, type: SchemaType, value: unknown): void {
  WRITE[type.t]!(output, value as never, type);
}
