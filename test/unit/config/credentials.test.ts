import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { inspect } from "node:util";
import { parseSecret, Secret } from "../../../src/config/credentials.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import fc from "../../support/fast_check.ts";

const reveal = (text: string): string => Buffer.from(parseSecret(text).reveal()).toString("latin1");

test("Base64 is decoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (bytes) => {
      assert.deepEqual(parseSecret(Buffer.from(bytes).toString("base64")).reveal(), new Uint8Array(bytes));
    }),
  );
});

test("white space and extra padding do not change a key", () => {
  for (const text of ["aHVu dGVy Mg==", "aHVu\n\tdGVyMg==\n", "aHVudGVyMg======", "aHVudGVyMg= ="]) {
    assert.equal(reveal(text), "hunter2");
  }
});

for (const [what, text, message] of [
  ["an empty value", "", /no key specified/],
  ["white space", " \n", /no key specified/],
  ["padding alone", "====", /no key specified/],
  ["the URL-safe alphabet", "-_-_", /replace - by \+ and _ by \//],
  ["junk between the characters", "a!H@V#u$d%G&V*yMg==", /characters other than/],
  ["letters beyond ASCII", "éééé", /characters other than/],
  ["missing padding", "aHVudGVyMg", /2 = are missing at the end/],
  ["padding half missing", "aHVudGVyMg=", /2 = are missing at the end/],
  ["a length that no bytes have", "abcde", /5 characters cannot be complete/],
  ["text after the padding", "aGk=aGk=", /there is text after the = padding/],
] as const) {
  test(`${what} is rejected and not shown`, () => {
    assert.throws(
      () => parseSecret(text),
      (error) =>
        error instanceof ConfigurationError &&
        message.test(error.message) &&
        !error.message.includes(text || "\0"),
    );
  });
}

test("a secret is redacted however it is shown", () => {
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

test("a secret cannot be changed by the bytes that went in or came out", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const secret = new Secret(bytes);
  bytes.fill(0);
  secret.reveal().fill(0);
  assert.deepEqual(secret.reveal(), new Uint8Array([1, 2, 3]));
});
