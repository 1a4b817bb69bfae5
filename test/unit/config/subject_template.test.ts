import assert from "node:assert/strict";
import { test } from "node:test";
import { SubjectTemplate } from "../../../src/config/subject_template.ts";
import fc from "../../support/fast_check.ts";
import { rejects } from "./support.ts";

const subjectOf = (template: string, event: unknown, queue = "main"): string =>
  new SubjectTemplate(template, "queue").withName(queue)(Buffer.from(JSON.stringify(event)));

test("the name of the queue is one token", () => {
  assert.equal(subjectOf("events.{queue}", {}), "events.main");
  assert.equal(subjectOf("events.{queue}", {}, "v2.eu-west"), "events.v2_eu-west");
  assert.equal(subjectOf("fixed", {}), "fixed");
});

test("fields of a JSON event are found at any depth", () => {
  const event = { topic: "vote", user: { country: "DE", age: 7, isAdmin: false } };
  assert.equal(subjectOf("e.{topic}.{user.country}", event), "e.vote.DE");
  assert.equal(subjectOf("e.{user.age}-{user.isAdmin}.x", event), "e.7-false.x");
});

test("fields of a Thrift event are found by ids", () => {
  const event = { 1: { str: "vote" }, 2: { rec: { 3: { i64: 12 } } } };
  assert.equal(subjectOf("e.{1}.{2.3}", event), "e.vote.12");
});

test("a missing or unusable field becomes an underscore", () => {
  for (const event of [{}, { a: null }, { a: {} }, { a: [1] }, { a: "" }, [], "text", 1, null])
    assert.equal(subjectOf("e.{a}", event), "e._");
  assert.equal(subjectOf("e.{toString}", {}), "e._");
  assert.equal(subjectOf("e.{a.b}", { a: "b" }), "e._");
  assert.equal(subjectOf("e.{1}", { 1: "no Thrift" }), "e._");
  assert.equal(new SubjectTemplate("e.{a}", "queue").withName("main")(Buffer.from("no JSON")), "e._");
});

test("no event changes the number of tokens or adds a wildcard", () => {
  const subject = new SubjectTemplate("e.{a}.{queue}", "queue").withName("q");
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("a.b", "*", ">", " ", "\r\n")),
      (a) => {
        assert.match(subject(Buffer.from(JSON.stringify({ a }))), /^e\.[\w-]{1,64}\.q$/);
      },
    ),
  );
});

test("templates that are not subjects are rejected", () => {
  for (const template of ["", "a..b", ".a", "a.", "a b", "a.*", "a.>", "{", "{}", "{a", "a}", "{a..b}", "é"])
    rejects(() => new SubjectTemplate(template, "queue"), /expected a subject such as events\.\{queue\}/);
  rejects(() => new SubjectTemplate("a".repeat(256), "queue"), /at most 255 characters/);
  rejects(() => new SubjectTemplate("{a}".repeat(9), "queue"), /up to 8 fields/);
});

test("the filter matches the subject of every event", () => {
  const filterOf = (template: string, queue?: string) => new SubjectTemplate(template, "queue").filter(queue);
  assert.equal(filterOf("events.{queue}", "v2.eu"), "events.v2_eu");
  assert.equal(filterOf("events.{queue}"), "events.*");
  assert.equal(filterOf("e-{user.country}x.{1.2}.{queue}.end", "main"), "*.*.main.end");
  assert.equal(filterOf("fixed"), "fixed");
});
