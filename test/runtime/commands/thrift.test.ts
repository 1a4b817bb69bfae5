import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Ended, needsThriftCompiler, Project, ROOT, run } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const generate = (...args: string[]): Ended => run(join(ROOT, "src/commands/thrift.ts"), args);

const PROJECT = {
  "user.thrift": `
    namespace js example
    enum Role { READER = 1, AUTHOR = 2 }
    struct User { 1: string id; 2: optional Role role; }`,
  "signup.thrift": `
    namespace js example
    include "user.thrift"
    struct Signup { 1: user.User user; 2: i64 at; 3: optional list<string> tags; 4: optional user.Role role; }
    struct Logout { 1: string id; }`,
};

const PROGRAM = `
import { EventQueue } from "eventspool";
import { v2SerializerOf } from "eventspool/thrift";
import { Signup } from "./gen-nodejs/signup_types.cjs";
import { Role } from "./gen-nodejs/user_types.cjs";

using events = new EventQueue("main", v2SerializerOf(Signup));
events.put({ user: { id: "u1", role: Role.AUTHOR }, at: 2n ** 60n, tags: ["a"], role: Role.READER });
console.log(events.depth(), "event");
`;

const MISTAKES = `
import { EventQueue } from "eventspool";
import { v2SerializerOf } from "eventspool/thrift";
import { Logout, Signup } from "./gen-nodejs/signup_types.cjs";

const events = new EventQueue("main", v2SerializerOf(Signup));
events.put({ user: { id: 5 }, at: 1 });
events.put({ user: { id: "u1" } });
events.put({ user: { id: "u1" }, at: 1, colour: "red" });
events.put(new Logout({ id: "u1" }));
`;

const MARKED = {
  "choice.thrift": `
    namespace js example
    union Choice { 1: string a; 2: i32 b; }
    struct Inner { 1: required string id; }
    struct Vote { 1: required Inner inner; 2: optional Choice choice; 3: optional list<Choice> more; }`,
};

const CHOICES = `
import { serializeV2Event, v2SerializerOf } from "eventspool/thrift";
import { Inner, Vote } from "./gen-nodejs/choice_types.cjs";

const serialize = v2SerializerOf(Vote) as (fields: unknown) => Uint8Array;
const inner = { id: "i" };
const unset = new Vote({ inner });
unset.inner.id = null as never;
for (const write of [
  () => serialize({ inner, choice: { a: "x" }, more: [{ b: 1 }] }),
  () => serialize({ inner, choice: {} }),
  () => serialize({ inner, more: [{ a: "x", b: 1 }] }),
  () => serialize({}),
  () => serialize({ inner: {} }),
  () => serializeV2Event(unset),
  () => serializeV2Event(new Inner()),
])
  try {
    console.log(Buffer.from(write()).toString());
  } catch (error) {
    console.log(String(error));
  }
`;

test(
  "rejects unions without a value or with two, and required fields that are unset",
  needsThriftCompiler,
  () => {
    using project = new Project({ ...MARKED, "main.ts": CHOICES });
    assert.equal(generate(join(project.path, "choice.thrift")).status, 0);
    const { status, output } = project.run("main.ts");
    assert.equal(status, 0, output);
    assert.deepEqual(output.trim().split("\n"), [
      '{"1":{"rec":{"1":{"str":"i"}}},"2":{"rec":{"1":{"str":"x"}}},"3":{"lst":["rec",1,{"2":{"i32":1}}]}}',
      "EventSerializationError: Event field choice is a union with 0 fields: set one of them",
      "EventSerializationError: Event field more[0] is a union with 2 fields: set one of them",
      "EventSerializationError: Event cannot be written: Required field inner is unset!",
      "EventSerializationError: Event cannot be written: Required field id is unset!",
      "EventSerializationError: Event field inner.id is required, and is not set",
      "EventSerializationError: Event field id is required, and is not set",
    ]);
  },
);

test("takes a project from its IDL to events that are checked when it compiles", needsThriftCompiler, () => {
  using project = new Project({ ...PROJECT, "main.ts": PROGRAM });
  const generated = generate(join(project.path, "signup.thrift"));
  assert.equal(generated.status, 0, generated.output);
  const names = ["signup_types.cjs", "signup_types.d.cts", "user_types.cjs", "user_types.d.cts"];
  assert.deepEqual(readdirSync(join(project.path, "gen-nodejs")).sort(), names);
  assert.deepEqual(
    generated.output.trim().split("\n"),
    names.map((name) => join(project.path, "gen-nodejs", name)),
  );

  assert.deepEqual(project.check(), { status: 0, output: "" });

  using queues = temporaryDirectory();
  const ran = project.run("main.ts", { EVENTSPOOL_DIR: queues.path });
  assert.deepEqual(ran, { status: 0, output: "1 event\n" });
});

test("has TypeScript reject events that are not the IDL's", needsThriftCompiler, () => {
  using project = new Project({ ...PROJECT, "mistakes.ts": MISTAKES });
  assert.equal(generate(join(project.path, "signup.thrift")).status, 0);
  const { status, output } = project.check();
  assert.notEqual(status, 0);
  const lines = output.split("\n").filter((line) => line.includes("mistakes.ts"));
  const mistakes = lines.map((line) => line.replace(/^.*mistakes\.ts\(/, "("));
  assert.match(mistakes[0]!, /^\(7,.*'number' is not assignable to type 'string'/);
  assert.match(mistakes[1]!, /^\(8,.*'at' is missing/s);
  assert.match(mistakes[2]!, /^\(9,.*'colour' does not exist in type 'SignupFields'/);
  assert.match(mistakes[3]!, /^\(10,.*'Logout' is (not assignable|missing)/);
  assert.equal(mistakes.length, 4, output);
});

test("generates the code of examples/thrift", needsThriftCompiler, () => {
  using directory = temporaryDirectory();
  const example = join(ROOT, "examples/thrift");
  assert.equal(generate("--out", directory.path, join(example, "event.thrift")).status, 0);
  const read = (path: string): string =>
    readFileSync(path, "utf8").replace(/Thrift Compiler \(.*\)/, "Thrift Compiler");
  for (const name of ["event_types.cjs", "event_types.d.cts"])
    assert.equal(read(join(directory.path, name)), read(join(example, "gen-nodejs", name)), name);
});

test("says which file the compiler rejects", needsThriftCompiler, () => {
  using directory = temporaryDirectory();
  const idl = join(directory.path, "wrong.thrift");
  writeFileSync(idl, "struct {");
  const { status, output } = generate(idl);
  assert.equal(status, 2, output);
  assert.match(output, /eventspool-thrift: the Thrift compiler rejects .*wrong\.thrift/);
});

test("says what to install where the compiler is missing", () => {
  using directory = temporaryDirectory();
  const { status, output } = run(join(ROOT, "src/commands/thrift.ts"), ["event.thrift"], {
    PATH: directory.path,
  });
  assert.equal(status, 2, output);
  assert.match(output, /apt-get install thrift-compiler/);
});

test("wants one IDL file", () => {
  assert.match(generate().output, /no IDL file: name one/);
  assert.equal(generate("a.thrift", "b.thrift").status, 2);
});
