import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { parseSecret, Secret } from "../../../src/config/credentials.ts";
import { ConfigurationError } from "../../../src/errors.ts";

const reveal = (text: string): string => Buffer.from(parseSecret(text).reveal()).toString("latin1");

test("reads Base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
      assert.deepEqual(parseSecret(Buffer.from(bytes).toString("base64")).reveal(), new Uint8Array(bytes));
    }),
  );
});

test("passes over white space inside and padding to spare, which do not change the key", () => {
  for (const text of ["aHVu dGVy Mg==", "aHVu\n\tdGVyMg==\n", "aHVudGVyMg======", "aHVudGVyMg= ="]) {
    assert.equal(reveal(text), "hunter2");
  }
});

for (const [what, text, message] of [
  ["an empty value", "", /no key specified/],
  ["white space", " \n", /no key specified/],
  ["padding alone", "====", /no key specified/],
  ["the URL-safe alphabet", "-_-_", /write \+ for - and \/ for _/],
  ["junk between the characters", "a!H@V#u$d%G&V*yMg==", /characters other than/],
  ["letters beyond ASCII", "éééé", /characters other than/],
  ["missing padding", "aHVudGVyMg", /lacks 2 = at its end/],
  ["padding half missing", "aHVudGVyMg=", /lacks 2 = at its end/],
  ["a length that no bytes have", "abcde", /5 characters are never a whole number of bytes/],
  ["something behind the padding", "aGk=aGk=", /something follows the = padding/],
] as const) {
  test(`rejects ${what} and does not show it`, () => {
    assert.throws(
      () => parseSecret(text),
      (error) =>
        error instanceof ConfigurationError &&
        message.test(error.message) &&
        !error.message.includes(text || "\0"),
    );
  });
}

test("is redacted however it is shown", () => {
  const secret = parseSecret("aHVudGVyMg==");
  const shown = [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true }),
  ];
  for (const text of shown) {
    assert.match(text, /\[redacted\]/);
    assert.doesNotMatch(text, /hunter2|aHVu|104/);
  }
});

test("cannot be changed through the bytes it was made of or gave out", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const secret = new Secret(bytes);
  bytes.fill(0);
  secret.reveal().fill(0);
  assert.deepEqual(secret.reveal(), new Uint8Array([1, 2, 3]));
});
