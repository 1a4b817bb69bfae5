/**
 * Why there is a writer of our own: each test shows a flaw of npm thrift's TJSONProtocol beside
 * our answer. A test that fails says that the flaw is mended; when all do, our writer can go.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import thrift, { type TProtocol } from "thrift";
import { ThriftJsonWriter } from "../../../src/serializers/thrift_protocol.ts";

const { Int64, TBufferedTransport, TJSONProtocol, Thrift } = thrift;
const { Type } = Thrift;

type Write = (output: TProtocol) => void;

/** What npm thrift's protocol writes, as text. */
function npmText(write: Write): string {
  const chunks: Buffer[] = [];
  const protocol = new TJSONProtocol(new TBufferedTransport(undefined, (chunk) => chunks.push(chunk!)));
  write(protocol);
  protocol.flush();
  return Buffer.concat(chunks).toString();
}

function ourText(write: Write): string {
  const writer = new ThriftJsonWriter(); // not serializeV2Event, which takes no messages
  write(writer as never);
  return Buffer.from(writer.finish()).toString();
}

/** A struct of one field. */
function struct(type: number, write: Write): Write {
  return (output) => {
    output.writeStructBegin("Struct");
    output.writeFieldBegin("field", type, 1);
    write(output);
    output.writeFieldEnd();
    output.writeStructEnd();
  };
}

/** In a message, as npm thrift needs it around a struct. */
function message(write: Write): Write {
  return (output) => {
    output.writeMessageBegin("m", Thrift.MessageType.CALL, 0);
    write(output);
    output.writeMessageEnd();
  };
}

function i64(value: number | InstanceType<typeof Int64>): Write {
  return message(struct(Type.I64, (output) => output.writeI64(value)));
}

test("npm thrift throws at the second field of a struct outside a message", () => {
  const twoFields: Write = (output) => {
    output.writeStructBegin("Struct");
    for (const id of [1, 2]) {
      output.writeFieldBegin("field", Type.BOOL, id);
      output.writeBool(true);
      output.writeFieldEnd();
    }
    output.writeStructEnd();
  };
  assert.throws(() => npmText(twoFields), TypeError);
  assert.equal(ourText(twoFields), '{"1":{"tf":1},"2":{"tf":1}}');
});

test("npm thrift writes control characters raw", () => {
  const text = message(struct(Type.STRING, (output) => output.writeString("\u0001")));
  assert.throws(() => JSON.parse(npmText(text)), SyntaxError);
  assert.equal(JSON.parse(ourText(text))[4][1].str, "\u0001");
});

test("npm thrift writes NaN bare", () => {
  const nan = message(struct(Type.DOUBLE, (output) => output.writeDouble(Number.NaN)));
  assert.throws(() => JSON.parse(npmText(nan)), SyntaxError);
  assert.throws(() => ourText(nan), /is NaN/);
});

test("npm thrift writes negative 64-bit integers with leading zeros, which JSON does not have", () => {
  const value = i64(new Int64(-1));
  assert.throws(() => JSON.parse(npmText(value)), SyntaxError);
  assert.equal(ourText(value), '[1,"m",1,0,{"1":{"i64":-1}}]');
});

test("npm thrift writes numbers beyond 2^53 as 64-bit integers", () => {
  assert.equal(npmText(i64(1e21)), '[1,"m",1,0,{"1":{"i64":1e+21}}]');
  assert.throws(() => ourText(i64(1e21)), /i64 takes integers from/);
});

test("npm thrift checks no range", () => {
  const byte = message(struct(Type.BYTE, (output) => output.writeByte(1000)));
  assert.equal(npmText(byte), '[1,"m",1,0,{"1":{"i8":1000}}]');
  assert.throws(() => ourText(byte), /is 1000: i8 takes integers from -128 to 127/);
});

test("npm thrift writes the key false of a map as true, as the generated code passes it as a string", () => {
  const map = message(
    struct(Type.MAP, (output) => {
      output.writeMapBegin(Type.BOOL, Type.BYTE, 1);
      output.writeBool("false" as never);
      output.writeByte(7);
      output.writeMapEnd();
    }),
  );
  assert.equal(npmText(map), '[1,"m",1,0,{"1":{"map":["tf","i8",1,{"1":7}]}}]');
  assert.equal(ourText(map), '[1,"m",1,0,{"1":{"map":["tf","i8",1,{"0":7}]}}]');
});
