import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import {
  checkEventIds,
  formatSignature,
  isBodySigned,
  parseSignature,
  signBody,
  signEventIds,
} from "../../../src/wire/signature.ts";
import fc from "../../support/fast_check.ts";

const SECRET = Buffer.from("secret");
const IDS = { eventIds: "0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e:1-3", bodyMac: "ab".repeat(32) };
const NOW_MS = Date.UTC(2026, 10, 28, 12, 0, 0, 250);

test("signs a body with any key bytes", () => {
  const key = { name: "a b, c", secret: new Uint8Array([0, 255, 10]) };
  // echo -n body | openssl dgst -sha256 -mac HMAC -macopt hexkey:00ff0a
  assert.equal(
    formatSignature(signBody(Buffer.from("body"), key)),
    "key=a b, c, mac=95f8fde8714281fa17b96d0e4a1029995a9bf0f73de19ed4ada3bf416800dc53",
  );
});

test("accepts its own signature of a body, and no other", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array({ minLength: 1 }), fc.uint8Array(), (body, secret, other) => {
      const signature = parseSignature(formatSignature(signBody(body, { name: "k", secret })))!;
      assert.ok(isBodySigned(body, signature, secret));
      if (!Buffer.from(other).equals(Buffer.from(body))) assert.ok(!isBodySigned(other, signature, secret));
    }),
  );
});

for (const header of [
  undefined,
  "",
  "key=k",
  "key=k, mac=12",
  `mac=${IDS.bodyMac}`,
  `key=, mac=${IDS.bodyMac}`,
])
  test(`rejects the X-Signature ${header}`, () => {
    assert.equal(parseSignature(header), undefined);
  });

test("signs ids as t=UNIX_SECONDS, mac=HEX over T.EVENT_IDS.BODY_MAC", () => {
  const seconds = Math.floor(NOW_MS / 1_000);
  const text = `${seconds}.${IDS.eventIds}.${IDS.bodyMac}`;
  const mac = createHmac("sha256", SECRET).update(text).digest("hex");
  assert.equal(signEventIds(IDS, SECRET, NOW_MS), `t=${seconds}, mac=${mac}`);
});

test("accepts ids for five minutes before and after their time", () => {
  const header = signEventIds(IDS, SECRET, NOW_MS);
  const at = (nowMs: number) => checkEventIds(header, IDS, { secret: SECRET, nowMs });
  const signedAtMs = NOW_MS - (NOW_MS % 1_000);
  for (const offMs of [0, 300_000, -300_000]) assert.equal(at(signedAtMs + offMs), "verified", `${offMs}`);
  for (const offMs of [300_001, -300_001, 1e12]) assert.equal(at(signedAtMs + offMs), "clock", `${offMs}`);
});

test("rejects other ids, another body, key or time than those that were signed", () => {
  const header = signEventIds(IDS, SECRET, NOW_MS);
  const check = (text: string, ids = IDS, secret: Uint8Array = SECRET) =>
    checkEventIds(text, ids, { secret, nowMs: NOW_MS });
  assert.equal(check(header), "verified");
  assert.equal(check(header, { ...IDS, eventIds: `${IDS.eventIds}0` }), "bad_mac");
  assert.equal(check(header, { ...IDS, bodyMac: "cd".repeat(32) }), "bad_mac");
  assert.equal(check(header, IDS, Buffer.from("other")), "bad_mac");
  assert.equal(check(header.replace(/t=\d+/, (t) => `${t.slice(0, -1)}${9 - Number(t.at(-1))}`)), "bad_mac");
});

test("treats a malformed header as a wrong signature, and a missing one as unsigned", () => {
  const context = { secret: SECRET, nowMs: NOW_MS };
  assert.equal(checkEventIds(undefined, IDS, context), "unsigned");
  const mac = "ab".repeat(32);
  for (const header of [
    "",
    "x",
    "t=1",
    `mac=${mac}`,
    `t=, mac=${mac}`,
    `t=-1, mac=${mac}`,
    `t=1, mac=${mac}0`,
  ])
    assert.equal(checkEventIds(header, IDS, context), "bad_mac", header);
});
