import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { JsonLinesSink } from "../../src/collector/json_lines_sink.ts";
import { EventStorageError } from "../../src/errors.ts";

function withFile(content: string | undefined, body: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "eventspool-"));
  const path = join(directory, "events.jsonl");
  if (content !== undefined) writeFileSync(path, content);
  try {
    body(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("appends each event as a line, in order, as it was sent", () => {
  withFile(undefined, (path) => {
    using sink = new JsonLinesSink(path);
    sink.append(['{"id":9007199254740993}', '"é\\n"']);
    sink.append([]);
    sink.append(["3"]);
    assert.equal(readFileSync(path, "utf8"), '{"id":9007199254740993}\n"é\\n"\n3\n');
  });
});

test("keeps an event with line feeds between its tokens on one line", () => {
  withFile(undefined, (path) => {
    using sink = new JsonLinesSink(path);
    sink.append(['{\n"a": 1\n}']);
    assert.equal(readFileSync(path, "utf8"), '{ "a": 1 }\n');
  });
});

test("goes on after the last line of an earlier run", () => {
  withFile("1\n2\n", (path) => {
    using sink = new JsonLinesSink(path);
    sink.append(["3"]);
    assert.equal(readFileSync(path, "utf8"), "1\n2\n3\n");
  });
});

for (const [torn, whole] of [
  ['1\n2\n{"id":', "1\n2\n"],
  ['{"id":', ""],
  [`1\n"${"x".repeat(600_000)}`, "1\n"],
] as const) {
  test(`cuts off a torn last line of ${torn.length - whole.length} bytes after ${whole.length}`, () => {
    withFile(torn, (path) => {
      using sink = new JsonLinesSink(path);
      assert.equal(readFileSync(path, "utf8"), whole);
      sink.append(["3"]);
      assert.equal(readFileSync(path, "utf8"), `${whole}3\n`);
    });
  });
}

test("leaves a file without lines as it is", () => {
  const content = "x".repeat(1_048_577);
  withFile(content, (path) => {
    assert.throws(
      () => new JsonLinesSink(path),
      (error) => error instanceof EventStorageError && error.code === "NOT_JSON_LINES" && error.path === path,
    );
    assert.equal(readFileSync(path, "utf8"), content);
  });
});

test("says which file cannot be opened", () => {
  withFile(undefined, (path) => {
    const missing = join(path, "events.jsonl");
    assert.throws(() => new JsonLinesSink(missing), {
      name: "EventStorageError",
      code: "ENOENT",
      path: missing,
    });
  });
});
