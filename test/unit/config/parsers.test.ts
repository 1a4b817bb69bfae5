import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bytesIn,
  durationMsIn,
  formatAddress,
  integerIn,
  oneOf,
  optional,
  parseBoolean,
  parseEndpoint,
  parseListenAddress,
  parseListenAddressOrOff,
  parseShare,
  parseText,
} from "../../../src/config/parsers.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import fc from "../../support/fast_check.ts";
import { rejects } from "./support.ts";

const parseInteger = integerIn({ min: -1_000_000, max: 1_000_000 });
const anySize = { min: 0, max: Number.MAX_SAFE_INTEGER };

test("integers are read as Python's int reads them", () => {
  const cases = { "10": 10, "+7": 7, "-3": -3, "007": 7, "1_000": 1_000, " \t5\n": 5, "-0": -0 };
  for (const [text, expected] of Object.entries(cases)) assert.equal(parseInteger(text), expected);
});

test("a value that is not an integer is rejected and shown", () => {
  for (const text of [
    "",
    "1.5",
    "0x10",
    "1e3",
    "1__0",
    "_1",
    "1_",
    "+ 1",
    "--1",
    "1 2",
    "９",
    "\u20031",
    "one",
  ]) {
    rejects(() => parseInteger(text), /expected an integer from -1000000 to 1000000, got "/);
  }
});

test("an integer out of range is rejected with the range", () => {
  const parse = integerIn({ min: 1, max: 256 });
  assert.equal(parse("1"), 1);
  assert.equal(parse("256"), 256);
  rejects(() => parse("0"), /expected an integer from 1 to 256, got "0"$/);
  rejects(() => parse("257"), /expected an integer from 1 to 256, got "257"$/);
  rejects(() => parse("9".repeat(400)), /from 1 to 256, got "9{100}\.\.\."$/);
});

test("booleans are true and false in any case, and nothing else", () => {
  assert.equal(parseBoolean("TRUE"), true);
  assert.equal(parseBoolean("False"), false);
  for (const text of ["yes", "1", "on", "t", " true", ""])
    rejects(() => parseBoolean(text), /expected true or false/);
});

test("durations are read as milliseconds", () => {
  const parse = durationMsIn(anySize);
  const cases = { "250ms": 250, "3s": 3_000, "3 s": 3_000, "5m": 300_000, "1h": 3_600_000, "0s": 0 };
  for (const [text, expected] of Object.entries(cases)) assert.equal(parse(text), expected);
});

test("a duration without a unit is rejected with a suggestion", () => {
  rejects(() => durationMsIn(anySize)("10"), /with its unit, such as 10s or 10ms, got "10"/);
});

test("other durations, and those out of range, are rejected", () => {
  for (const text of ["", "1.5s", "-1s", "3 seconds", "1d", "s", "3S"]) {
    rejects(() => durationMsIn(anySize)(text), /such as 250ms, 3s, 5m or 1h/);
  }
  rejects(() => durationMsIn({ min: 1, max: 1_000 })("2s"), /expected 1 to 1000ms, got 2000ms/);
});

test("sizes are read as bytes: kB and MB by 1,000, KiB and MiB by 1,024", () => {
  const parse = bytesIn(anySize);
  const cases = {
    "5": 5,
    "102400B": 102_400,
    "100kB": 100_000,
    "500KiB": 512_000,
    "1 MB": 1e6,
    "1mib": 1_048_576,
    "2GiB": 2_147_483_648,
  };
  for (const [text, expected] of Object.entries(cases)) assert.equal(parse(text), expected);
});

test("other sizes, and those out of range, are rejected", () => {
  for (const text of ["", "1.5kB", "-1", "1k", "1constructor", "1TB", "kB"]) {
    rejects(() => bytesIn(anySize)(text), /expected a size such as/);
  }
  rejects(() => bytesIn({ min: 1, max: 1_000 })("1KiB"), /expected 1 to 1000 bytes, got 1024 bytes/);
});

test("oneOf reads one of several words, spelt exactly", () => {
  assert.equal(oneOf("2", "2j")("2j"), "2j");
  rejects(() => oneOf("2", "2j")("2J"), /expected 2 or 2j, got "2J"/);
  rejects(() => oneOf("a", "b", "c")(""), /expected a, b or c, got ""/);
});

test("a blank value counts as absent", () => {
  assert.equal(optional(parseInteger, 7)(""), 7);
  assert.equal(optional(parseInteger, 7)("8"), 8);
  rejects(() => parseText(""), /no value specified/);
});

test("an endpoint is host:port, and no host means this machine", () => {
  assert.deepEqual(parseEndpoint("statsd.example:8125"), { host: "statsd.example", port: 8125 });
  assert.deepEqual(parseEndpoint(":8125"), { host: "127.0.0.1", port: 8125 });
});

test("endpoints are rejected that baseplate.py rejects or cannot send to", () => {
  rejects(() => parseEndpoint("localhost"), /no port specified/);
  rejects(() => parseEndpoint("127.0.0.1:abc"), /expected a port from 1 to 65535, got "abc"/);
  rejects(() => parseEndpoint("[::1]:8125"), /use a host name instead of an IPv6 address/);
  rejects(() => parseEndpoint("host:0"), /expected a port from 1 to 65535, got "0"/);
  rejects(() => parseEndpoint("host:65536"), /got "65536"/);
  rejects(() => parseEndpoint("a b:1"), /the host contains a space/);
  rejects(() => parseEndpoint("/run/statsd.sock"), /unix sockets are not supported/);
});

test("listen addresses are read, and formatted as they were written", () => {
  const cases: [string, unknown][] = [
    ["127.0.0.1:9900", { host: "127.0.0.1", port: 9_900 }],
    ["localhost:0", { host: "localhost", port: 0 }],
    ["[::1]:9900", { host: "::1", port: 9_900 }],
    ["/run/eventspool/admin.sock", { path: "/run/eventspool/admin.sock" }],
    ["./admin:1.sock", { path: "./admin:1.sock" }],
  ];
  for (const [text, expected] of cases) {
    assert.deepEqual(parseListenAddress(text), expected);
    assert.equal(formatAddress(parseListenAddress(text)), text);
  }
  assert.equal(parseListenAddressOrOff("off"), undefined);
});

test("incomplete listen addresses are rejected", () => {
  for (const text of [
    "9900",
    ":9900",
    "host",
    "host:",
    "::1:9900",
    "[::1]",
    "[host]:1",
    "off",
    "OFF",
    "a b:1",
  ]) {
    rejects(() => parseListenAddress(text), /expected host:port, \[IPv6\]:port or the path of a unix socket/);
  }
  for (const port of ["70000", "123456"])
    rejects(
      () => parseListenAddress(`host:${port}`),
      new RegExp(`expected a port from 0 to 65535, got "${port}"`),
    );
  rejects(() => parseListenAddress(""), /no value specified/);
});

test("a share is a percentage", () => {
  assert.deepEqual(["10%", "0.5 %", "100%"].map(parseShare), [0.1, 0.005, 1]);
  for (const text of ["0.1", "10", "ten%", "-5%", "1e1%"])
    rejects(() => parseShare(text), /expected a percentage such as 10%/);
  for (const text of ["0%", "0.0%", "101%"])
    rejects(() => parseShare(text), /expected more than 0% and at most 100%/);
});

test("a long value is shown abbreviated", () => {
  rejects(() => parseBoolean("x".repeat(10_000)), /^.{0,200}$/s);
});

test("any text is read, or rejected with a ConfigurationError", () => {
  const parsers = [
    parseBoolean,
    parseEndpoint,
    parseListenAddress,
    parseShare,
    durationMsIn(anySize),
    bytesIn(anySize),
  ];
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[0-9:./a-z[\]]*$/)), (text) => {
      for (const parse of parsers) {
        try {
          parse(text);
        } catch (error) {
          assert.ok(error instanceof ConfigurationError, String(error));
        }
      }
    }),
    { numRuns: 1_000 },
  );
});
