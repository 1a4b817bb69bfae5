/** Writes Thrift structs in Apache Thrift's JSON protocol: `{"1":{"str":"web"},"2":{"i64":7}}`. */
import { EventSerializationError } from "../errors.ts";
import { abbreviate, describe } from "../format.ts";
import {
  binaryProblem,
  doubleProblem,
  fieldPath,
  hasSymbols,
  integerProblem,
  isPlainObject,
  MAX_EVENT_DEPTH,
  SYMBOL_PROBLEM,
  stringProblem,
} from "./problems.ts";
import {
  binaryText,
  boolText,
  doubleText,
  I8,
  I16,
  I32,
  I64,
  type IntegerType,
  integerText,
  stringText,
  type ThriftI64,
  uuidText,
} from "./thrift_values.ts";
import { Utf8Text } from "./utf8_text.ts";

/**
 * Thrift's types: their names in the JSON protocol, and their ids. The collector accepts these.
 * Source: Apache Thrift, `TJSONProtocol`.
 */
export const THRIFT_TYPES = {
  tf: 2,
  i8: 3,
  dbl: 4,
  i16: 6,
  i32: 8,
  i64: 10,
  str: 11,
  rec: 12,
  map: 13,
  set: 14,
  lst: 15,
  uid: 16,
} as const;

/** The event is another type. */
export const NO_STRUCT = "is not a struct: a batch is a list of structs";

/** What ends a field before the next one. */
const FIELD_END = "},";

const encoder = new TextEncoder();

const TYPE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(THRIFT_TYPES).map(([name, id]) => [id, `"${name}"`]),
);

/**
 * The write half of a Thrift `TProtocol`: what the `write` methods call that the Apache Thrift
 * compiler generates (`--gen js:node`). The bytes equal Python's TJSONProtocol's, fields in the
 * order of their ids.
 *
 * Own code, because npm thrift's TJSONProtocol (0.24) cannot write a struct outside a message, writes
 * raw control characters, bare NaN, wrong 64-bit integers and wrong map keys, and checks no ranges.
 * test/unit/serializers/npm_thrift.test.ts shows each of these bugs, and fails when one is fixed.
 *
 * A value outside its type throws {@link EventSerializationError} with the field. Where Python writes
 * invalid JSON, this class escapes (control characters) or throws (NaN, Infinity, maps whose keys are
 * structs, lists, sets or maps).
 */
export class ThriftJsonWriter {
  readonly #json = new Utf8Text();
  #depth = 0;
  readonly #frames: Frame[] = [new Frame()];
  #frame: Frame = this.#frames[0]!;
  /** `},"2":{"str":` by id and type: one for each field of a schema. */
  readonly #fieldStarts = new Map<number, Uint8Array>();

  /** Begins a struct. Its members are compared with what it writes, because generated code drops what it does not expect. */
  begin(struct: unknown): void {
    this.#frames[0]!.value = struct;
  }

  /** The struct in UTF-8. Throws if it was not written to its end. */
  finish(): Uint8Array {
    if (this.#depth !== 0 || this.#json.length === 0) this.fail("was not written completely by its write()");
    return this.#json.slice(0, this.#json.length);
  }

  /** Resets the writer for the next struct. */
  reset(): void {
    for (let depth = 0; depth <= this.#depth; depth++) this.#frames[depth]!.value = undefined;
    this.#json.clear();
    this.#depth = 0;
    this.#frame = this.#frames[0]!;
  }

  /** Throws for the value being written, naming it like `user.flags[2]`, `labels["k"]`, `labels.keys[0]`. */
  fail(problem: string, options?: ErrorOptions): never {
    throw serializationError(this.#containerPath() + nextSegment(this.#frame), problem, options);
  }

  writeMessageBegin(name: string, type: number, sequenceId: number): void {
    this.#open(`[1,${JSON.stringify(name)},${type},${sequenceId}`, "element", 1);
  }

  writeMessageEnd(): void {
    this.#closeSized("]");
  }

  writeStructBegin(_name: string): void {
    const value = this.#written();
    this.#open("{", "field", 0);
    this.#frame.value = value;
  }

  writeStructEnd(): void {
    this.#checkStruct(this.#frame);
    if (!this.#frame.ascending) this.#sortFields(this.#frame);
    this.#close(this.#frame.count === 0 ? "}" : "}}");
  }

  writeFieldBegin(name: string, type: number, id: number): void {
    const frame = this.#frame;
    const index = frame.count++;
    frame.name = name;
    frame.names[index] = name;
    frame.ids[index] = id;
    frame.starts[index] = this.#json.length;
    if (index === 0) {
      this.#json.append(`"${id}":{${this.#typeName(type)}:`);
    } else {
      this.#json.appendBytes(this.#fieldStarts.get((id << 5) | type) ?? this.#fieldStart(type, id));
      if (id < frame.ids[index - 1]!) frame.ascending = false;
    }
  }

  /** The closing brace is written together with the text behind it. */
  writeFieldEnd(): void {}

  writeFieldStop(): void {}

  writeMapBegin(keyType: number, valueType: number, size: number): void {
    if (this.#depth === 0) this.fail(NO_STRUCT);
    const value = this.#written();
    if (value !== undefined && !isPlainObject(value))
      this.fail(`is ${describe(value)}: map takes a plain object, such as Object.fromEntries(map)`);
    if (value !== undefined && hasSymbols(value)) this.fail(SYMBOL_PROBLEM);
    this.#checkSize(size);
    this.#open(`[${this.#typeName(keyType)},${this.#typeName(valueType)},${size},{`, "key", size);
    this.#frame.value = value && Object.values(value);
  }

  writeMapEnd(): void {
    this.#closeSized("}]");
  }

  writeListBegin(elementType: number, size: number): void {
    if (this.#depth === 0) this.fail(NO_STRUCT);
    const value = this.#written();
    if (value !== undefined && !Array.isArray(value))
      this.fail(`is ${describe(value)}: list and set take an array, such as [...set]`);
    this.#checkSize(size);
    this.#open(`[${this.#typeName(elementType)},${size}`, "element", size);
    this.#frame.value = value;
  }

  writeListEnd(): void {
    this.#closeSized("]");
  }

  writeSetBegin(elementType: number, size: number): void {
    this.writeListBegin(elementType, size);
  }

  writeSetEnd(): void {
    this.writeListEnd();
  }

  writeBool(value: boolean): void {
    const text = boolText(value, this.#frame.next === "key");
    this.#writeNumber(text ?? this.fail(`is ${describe(value)}: bool takes true and false`));
  }

  writeByte(value: number): void {
    this.#writeInteger(value, I8);
  }

  writeI16(value: number): void {
    this.#writeInteger(value, I16);
  }

  writeI32(value: number): void {
    this.#writeInteger(value, I32);
  }

  writeI64(value: ThriftI64): void {
    this.#writeInteger(value, I64);
  }

  writeDouble(value: number): void {
    const text = doubleText(value, this.#frame.next === "key");
    this.#writeNumber(text ?? this.fail(doubleProblem(value)));
  }

  writeString(value: string): void {
    if (!this.#writePlain(value)) this.#write(stringText(value) ?? this.fail(stringProblem(value)));
  }

  writeBinary(value: Uint8Array): void {
    this.#write(binaryText(value) ?? this.fail(binaryProblem(value)));
  }

  writeUuid(value: string): void {
    this.#write(uuidText(value) ?? this.fail(`is ${describe(value)}, not a UUID such as 123e4567-e89b-...`));
  }

  /** Code of newer compilers counts the depth. This class does so itself. */
  incrementRecursionDepth(): void {}

  decrementRecursionDepth(): void {}

  #fieldStart(type: number, id: number): Uint8Array {
    const start = encoder.encode(`},"${id}":{${this.#typeName(type)}:`);
    this.#fieldStarts.set((id << 5) | type, start);
    return start;
  }

  #writeInteger(value: unknown, type: IntegerType): void {
    const text = integerText(value, type, this.#frame.next === "key");
    this.#writeNumber(text ?? this.fail(integerProblem(value, type)));
  }

  /** In JSON all keys are strings. */
  #writeNumber(text: string): void {
    this.#write(this.#frame.next === "key" ? `"${text}"` : text);
  }

  /** False: nothing was written, because the string has to be looked at, or is a key, which errors name. */
  #writePlain(value: unknown): boolean {
    if (typeof value !== "string" || this.#frame.next === "key") return false;
    const { length } = this.#json;
    this.#separate();
    if (this.#json.appendPlain(value)) {
      this.#advance("");
      return true;
    }
    this.#json.cutTo(length);
    return false;
  }

  /** Writes a value, or the start of one, with the comma or colon before it. */
  #write(text: string): void {
    this.#separate();
    this.#json.append(text);
    this.#advance(text);
  }

  #separate(): void {
    const { next, count } = this.#frame;
    if (next === "value") this.#json.append(":");
    else if (next === "element" || (next === "key" && count > 0)) this.#json.append(",");
  }

  /** @param text what was written */
  #advance(text: string): void {
    const frame = this.#frame;
    if (frame.next === "field") return;
    if (frame.next === "key") frame.name = text;
    else frame.count++;
    if (frame.next !== "element") frame.next = frame.next === "key" ? "value" : "key";
  }

  #open(text: string, next: Frame["next"], size: number): void {
    if (this.#frame.next === "key") this.fail("is a struct or container: JSON has only strings for map keys");
    const { nesting } = this.#frame;
    if (nesting > MAX_EVENT_DEPTH)
      this.fail(
        `is nested deeper than ${MAX_EVENT_DEPTH} objects and arrays of JSON: does it contain itself?`,
      );
    if (this.#depth === 0 && this.#json.length > 0) this.fail("was written twice by its write()");
    this.#write(text);
    const frame = this.#frames[++this.#depth] ?? this.#addFrame();
    frame.value = undefined;
    frame.next = next;
    frame.nesting = nesting + (next === "element" ? 1 : 2);
    frame.name = "";
    frame.count = 0;
    frame.size = size;
    frame.ascending = true;
    this.#frame = frame;
  }

  #addFrame(): Frame {
    const frame = new Frame();
    this.#frames.push(frame);
    return frame;
  }

  #close(text: string): void {
    this.#json.append(text);
    this.#frame = this.#frames[--this.#depth]!;
  }

  /** A list with holes, or with members that are not elements, writes another number of elements than it announced. */
  #closeSized(text: string): void {
    const { count, size } = this.#frame;
    if (count !== size) {
      const problem = `announced ${size} elements and wrote ${count}: an array must have no holes and no other properties`;
      throw serializationError(this.#containerPath(), problem);
    }
    this.#close(text);
  }

  /** The struct or container that is about to be written, if the struct around it is known; else undefined. */
  #written(): unknown {
    const { value, next, name, count } = this.#frame;
    if (this.#depth === 0) return value;
    if (typeof value !== "object" || value === null) return undefined;
    return (value as Record<string | number, unknown>)[next === "field" ? name : count];
  }

  /** Rejects what generated code ignores: unknown fields, a union without exactly one value, unset required fields. */
  #checkStruct({ value, names, count }: Frame): void {
    if (typeof value !== "object" || value === null) return;
    if (hasSymbols(value)) this.#failStruct("", SYMBOL_PROBLEM);
    const isWritten = (name: string): boolean => names.slice(0, count).includes(name);
    const { isUnion, requiredFields } = (value.constructor ?? {}) as MarkedStruct;
    if (isUnion && count !== 1) this.#failStruct("", `is a union with ${count} fields: set one of them`);
    for (const name of requiredFields ?? [])
      if (!isWritten(name)) this.#failStruct(name, "is required, and is not set");
    if (heldCount(value) <= count) return;
    const unknown = Object.keys(value).find((name) => isHeld(value, name) && !isWritten(name));
    const isGenerated = names.slice(0, count).every((name) => Object.hasOwn(value, name)); // other code may use other names
    if (unknown !== undefined && isGenerated) this.#failStruct(unknown, "is not a field of its struct");
  }

  #failStruct(name: string, problem: string): never {
    this.#frame.name = name;
    throw serializationError(this.#containerPath() + openSegment(this.#frame), problem);
  }

  #checkSize(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) this.fail("has no length: pass lists and sets as arrays");
  }

  #typeName(type: number): string {
    return TYPE_NAMES.get(type) ?? this.fail(`has type ${type}, which Thrift does not have`);
  }

  /** The compiler's JavaScript writes fields in the order of the IDL, Python's code in the order of their ids. */
  #sortFields({ ids, starts, count }: Frame): void {
    const json = this.#json;
    const fields = Array.from({ length: count }, (_, index) => {
      const start = starts[index]! + (index === 0 ? 0 : FIELD_END.length);
      const end = index + 1 < count ? starts[index + 1]! : json.length;
      return { id: ids[index]!, text: json.slice(start, end) };
    });
    fields.sort((a, b) => a.id - b.id);
    json.cutTo(starts[0]!);
    for (const [index, { text }] of fields.entries()) {
      if (index > 0) json.append(FIELD_END);
      json.appendBytes(text);
    }
  }

  /** The path of the container that is being written. */
  #containerPath(): string {
    return this.#frames.slice(0, this.#depth).map(openSegment).join("");
  }
}

/** How many members of a struct are set. With Object.entries it took 1.3 us more for an event of 4 structs. */
function heldCount(struct: object): number {
  let count = 0;
  for (const name of Object.keys(struct)) if (isHeld(struct, name)) count++;
  return count;
}

function isHeld(struct: object, name: string): boolean {
  return (struct as Readonly<Record<string, unknown>>)[name] != null;
}

/** The longest map key shown in a field path, in characters. */
const MAX_SHOWN_KEY_CHARS = 64;

/** A struct, list, set or map being written. */
export class Frame {
  /** What is written next. */
  next: "field" | "element" | "key" | "value" = "field";
  /** The field, or the key of the map's entry, being written. */
  name = "";
  /** How many elements, entries or fields have begun. */
  count = 0;
  /** How many elements or entries were announced. */
  size = 0;
  /** The JSON depth of what is written next: a struct or a map adds two, a list one. */
  nesting = 1;
  /** Whether a struct's fields came in the order of their ids. */
  ascending = true;
  /** The struct, list or set, or the values of the map; undefined if not known. */
  value: unknown = undefined;
  /** For each field of a struct: its name, its id and its start in the text. */
  readonly names: string[] = [];
  readonly ids: number[] = [];
  readonly starts: number[] = [];
}

/** Static members that `eventspool-thrift` adds to a generated class. */
interface MarkedStruct {
  readonly isUnion?: boolean;
  readonly requiredFields?: readonly string[];
}

/** The part of a path for the open member of a container. */
function openSegment({ next, name, count }: Frame): string {
  if (next === "field") return name === "" ? "" : `.${name}`;
  return next === "element" ? `[${count - 1}]` : `[${abbreviate(name, MAX_SHOWN_KEY_CHARS)}]`;
}

/** The part of a path for the next member of a container. */
function nextSegment(frame: Frame): string {
  if (frame.next === "element") return `[${frame.count}]`;
  return frame.next === "key" ? `.keys[${frame.count}]` : openSegment(frame);
}

function serializationError(path: string, problem: string, options?: ErrorOptions): EventSerializationError {
  return new EventSerializationError(fieldPath(path.replace(/^\./, "")), problem, options);
}
