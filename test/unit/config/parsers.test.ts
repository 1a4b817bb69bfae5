import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatAddress,
  parseEndpoint,
  parseListenAddress,
  parseListenAddressOrOff,
} from "../../../src/config/addresses.ts";
import {
  bytesIn,
  durationMsIn,
  integerIn,
  oneOf,
  optional,
  parseBoolean,
  parseInteger,
  parseShare,
  parseText,
} from "../../../src/config/parsers.ts";
import { didYouMean } from "../../../src/did_you_mean.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { rejects } from "./support.ts";

const anySize = { min: 0, max: Number.MAX_SAFE_INTEGER };

test("reads whole numbers as Python's int does", () => {
  const cases = { "10": 10, "+7": 7, "-3": -3, "007": 7, "1_000": 1_000, " \t5\n": 5, "-0": -0 };
  for (const [text, expected] of Object.entries(cases)) assert.equal(parseInteger(text), expected);
});

test("rejects what is not a whole number and shows it", () => {
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
    rejects(() => parseInteger(text), /expected a whole number, got "/);
  }
});

test("names the range that a number is out of", () => {
  const parse = integerIn({ min: 1, max: 256 });
  assert.equal(parse("1"), 1);
  assert.equal(parse("256"), 256);
  rejects(() => parse("0"), /is 0: expected 1 to 256/);
  rejects(() => parse("257"), /is 257: expected 1 to 256/);
  rejects(() => parse("9".repeat(400)), /expected 1 to 256/);
});

test("reads true and false in any case of letters, and nothing else", () => {
  assert.equal(parseBoolean("TRUE"), true);
  assert.equal(parseBoolean("False"), false);
  for (const text of ["yes", "1", "on", "t", " true", ""])
    rejects(() => parseBoolean(text), /expected true or false/);
});

test("reads durations with their unit as milliseconds", () => {
  const parse = durationMsIn(anySize);
  const cases = { "250ms": 250, "3s": 3_000, "3 s": 3_000, "5m": 300_000, "1h": 3_600_000, "0s": 0 };
  for (const [text, expected] of Object.entries(cases)) assert.equal(parse(text), expected);
});

test("rejects a duration without a unit and asks which one", () => {
  rejects(() => durationMsIn(anySize)("10"), /with its unit, such as 10s or 10ms, got "10"/);
});

test("rejects other durations, and those out of range", () => {
  for (const text of ["", "1.5s", "-1s", "3 seconds", "1d", "s", "3S"]) {
    rejects(() => durationMsIn(anySize)(text), /such as 250ms, 3s, 5m or 1h/);
  }
  rejects(() => durationMsIn({ min: 1, max: 1_000 })("2s"), /is 2000ms: expected 1 to 1000ms/);
});

test("reads sizes as bytes, k and M by 1,000 and Ki and Mi by 1,024", () => {
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

test("rejects other sizes, and those out of range", () => {
  for (const text of ["", "1.5kB", "-1", "1k", "1constructor", "1TB", "kB"]) {
    rejects(() => bytesIn(anySize)(text), /expected a size such as/);
  }
  rejects(() => bytesIn({ min: 1, max: 1_000 })("1KiB"), /is 1024 bytes: expected 1 to 1000 bytes/);
});

test("reads one of several words, exactly spelt", () => {
  assert.equal(oneOf("2", "2j")("2j"), "2j");
  rejects(() => oneOf("2", "2j")("2J"), /expected 2 or 2j, got "2J"/);
});

test("takes a blank value for absent", () => {
  assert.equal(optional(parseInteger, 7)(""), 7);
  assert.equal(optional(parseInteger, 7)("8"), 8);
  rejects(() => parseText(""), /no value specified/);
});

test("reads an endpoint as host:port, and none as this machine", () => {
  assert.deepEqual(parseEndpoint("statsd.example:8125"), { host: "statsd.example", port: 8125 });
  assert.deepEqual(parseEndpoint(":8125"), { host: "127.0.0.1", port: 8125 });
});

test("rejects endpoints that baseplate.py rejects, or could not send to", () => {
  rejects(() => parseEndpoint("localhost"), /no port specified/);
  rejects(() => parseEndpoint("127.0.0.1:abc"), /expected a whole number, got "abc"/);
  rejects(() => parseEndpoint("[::1]:8125"), /give IPv6 hosts by name/);
  rejects(() => parseEndpoint("host:0"), /is 0: expected 1 to 65535/);
  rejects(() => parseEndpoint("host:65536"), /is 65536/);
  rejects(() => parseEndpoint("a b:1"), /the host holds a space/);
  rejects(() => parseEndpoint("/run/statsd.sock"), /unix sockets are not supported/);
});

test("reads and writes listen addresses", () => {
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

test("rejects listen addresses that leave something open", () => {
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
  rejects(() => parseListenAddress("host:70000"), /is 70000: expected 0 to 65535/);
  rejects(() => parseListenAddress(""), /no value specified/);
});

test("reads a share as a percentage", () => {
  assert.deepEqual(["10%", "0.5 %", "100%"].map(parseShare), [0.1, 0.005, 1]);
  for (const text of ["0.1", "10", "ten%", "-5%", "1e1%"])
    rejects(() => parseShare(text), /expected a percentage such as 10%/);
  for (const text of ["0%", "0.0%", "101%"])
    rejects(() => parseShare(text), /expected more than 0% and at most 100%/);
});

test("never shows more than the beginning of a long value", () => {
  rejects(() => parseBoolean("x".repeat(10_000)), /^.{0,200}$/s);
});

test("finds the word that was meant, if one is near", () => {
  const words = ["collector.hostname", "collector.scheme", "key.name"];
  assert.equal(didYouMean("colector.hostnam", words), "collector.hostname");
  assert.equal(didYouMean("keyname", words), "key.name");
  assert.equal(didYouMean("something.else", words), undefined);
});

test("reads any text as a value, or rejects it as a configuration error", () => {
  const parsers = [
    parseInteger,
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
