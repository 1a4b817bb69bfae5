import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDouble } from "../../../src/serializers/thrift_values.ts";
import fc from "../../support/fast_check.ts";

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });

/** `%.17g`: 17 digits at most, no trailing zeros, an exponent of two digits below 1e-4 and from 1e17. */
const FIXED = /^-?(0|[1-9]\d{0,16})(\.\d*[1-9])?$/;
const EXPONENT = /^-?[1-9](\.\d{0,15}[1-9])?e[+-]\d{2,3}$/;

test("writes every double so that it parses back to the same double", () => {
  fc.assert(
    fc.property(finite, (value) => assert.ok(Object.is(Number(formatDouble(value)), value))),
    { numRuns: 2_000 },
  );
});

test("has the form of C's %.17g", () => {
  fc.assert(
    fc.property(finite, (value) => {
      const size = Math.abs(value);
      const isFixed = size === 0 || (size >= 1e-4 && size < 1e17);
      assert.match(formatDouble(value), isFixed ? FIXED : EXPONENT);
    }),
    { numRuns: 2_000 },
  );
});

test("writes short binary fractions, which it has a quicker way for, with all of their digits", () => {
  const fraction = fc.integer({ min: -102_399_999, max: 102_399_999 }).map((n) => n / 1_024);
  fc.assert(
    fc.property(fraction, (value) => {
      const [digits = ""] = value.toFixed(20).split("e"); // exact: there are ten at most
      assert.equal(formatDouble(value), digits.replace(/\.?0+$/, ""));
    }),
    { numRuns: 2_000 },
  );
});

test("rounds a tie to the even digit, as C does and toPrecision does not", () => {
  assert.equal(formatDouble(12345678901234 + 9 / 16), "12345678901234.562");
  assert.equal(formatDouble(-12345678901234 - 1 / 16), "-12345678901234.062");
  assert.equal(formatDouble(12345678901234 + 3 / 16), "12345678901234.188");
  assert.equal(formatDouble(2 ** -25), "2.9802322387695312e-08");
  assert.equal(formatDouble(3 * 2 ** -25), "8.9406967163085938e-08");
});

test("writes each power of ten at the borders of the exponent as C does", () => {
  const texts = [1e-5, 1e-4, 1e15, 1e16, 1e17, 1e22, 1e23, 5e-324].map(formatDouble);
  assert.deepEqual(texts, [
    "1.0000000000000001e-05",
    "0.0001",
    "1000000000000000",
    "10000000000000000",
    "1e+17",
    "1e+22",
    "9.9999999999999992e+22",
    "4.9406564584124654e-324",
  ]);
});
