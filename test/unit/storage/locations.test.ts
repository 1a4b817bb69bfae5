import assert from "node:assert/strict";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { test } from "node:test";
import { ConfigurationError, EventStorageError } from "../../../src/errors.ts";
import { locateQueueFile, queueFilePath } from "../../../src/storage/locations.ts";
import fc from "../../support/fast_check.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("looks for the directory in the option, EVENTSPOOL_DIR, STATE_DIRECTORY, XDG_STATE_HOME, in this order", () => {
  using root = temporaryDirectory();
  const make = (name: string): string => {
    mkdirSync(join(root.path, name));
    return join(root.path, name);
  };
  const [option, spool, state, xdg] = [make("option"), make("spool"), make("state"), make("xdg")];

  const full = { EVENTSPOOL_DIR: spool, STATE_DIRECTORY: `${state}:/second`, XDG_STATE_HOME: xdg };
  assert.equal(locateQueueFile("q", option, full), join(option, "events-q.db"));
  assert.equal(locateQueueFile("q", undefined, full), join(spool, "events-q.db"));
  assert.equal(locateQueueFile("q", undefined, { ...full, EVENTSPOOL_DIR: "" }), join(state, "events-q.db"));
  assert.equal(
    locateQueueFile("q", undefined, { XDG_STATE_HOME: xdg }),
    join(xdg, "eventspool", "events-q.db"),
  );
});

test("makes the default directory, for its owner only", () => {
  using root = temporaryDirectory();
  locateQueueFile("q", undefined, { XDG_STATE_HOME: join(root.path, "deep", "state") });
  assert.equal(statSync(join(root.path, "deep", "state", "eventspool")).mode & 0o777, 0o700);
});

test("does not make a directory that somebody named, but says how to", () => {
  using root = temporaryDirectory();
  const missing = join(root.path, "missing");
  for (const locate of [
    () => locateQueueFile("q", missing),
    () => locateQueueFile("q", undefined, { EVENTSPOOL_DIR: missing }),
  ]) {
    assert.throws(
      locate,
      (error) =>
        error instanceof EventStorageError &&
        error.code === "ENOENT" &&
        error.message.includes(`mkdir -p -m 700 ${missing}`),
    );
  }
});

test("says which permission Deno lacks to find the directory", () => {
  const message = 'Requires env access to "EVENTSPOOL_DIR", run again with the --allow-env flag';
  const env = new Proxy({}, { get: () => assert.fail(new Error(message)) });
  assert.throws(() => queueFilePath("q", undefined, env), {
    name: "ConfigurationError",
    message: `directory: cannot be found in the environment: ${message}, or name a directory.`,
  });
});

test("rejects an empty directory, which is a variable that is not set more often than not", () => {
  assert.throws(() => locateQueueFile("q", ""), {
    name: "ConfigurationError",
    message: /^directory: is empty/,
  });
});

test("rejects a file where the directory should be", () => {
  using root = temporaryDirectory();
  const file = join(root.path, "file");
  writeFileSync(file, "");
  assert.throws(() => locateQueueFile("q", file), { name: "EventStorageError", code: "ENOTDIR" });
  assert.throws(() => locateQueueFile("q", join(file, "below")), {
    name: "EventStorageError",
    code: "ENOTDIR",
  });
});

test("takes letters, digits, dot, underscore and dash as a queue name, up to 100", () => {
  using root = temporaryDirectory();
  for (const name of ["main", "a", "A.b_c-9", "-x", "_", "x".repeat(100)]) {
    assert.equal(locateQueueFile(name, root.path), join(root.path, `events-${name}.db`));
  }
  for (const name of ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "ä", "a\n", "a\0", "x".repeat(101)]) {
    assert.throws(() => locateQueueFile(name, root.path), ConfigurationError, JSON.stringify(name));
  }
});

test("never leaves the directory, whatever the queue is called", () => {
  using root = temporaryDirectory();
  fc.assert(
    fc.property(fc.string(), (name) => {
      try {
        assert.equal(locateQueueFile(name, root.path), join(root.path, `events-${name}.db`));
        assert.doesNotMatch(name, /[/\\\0]|^\./);
      } catch (error) {
        assert.ok(error instanceof ConfigurationError);
      }
    }),
  );
});

test("a path is absolute, whatever the environment says", () => {
  for (const env of [
    { EVENTSPOOL_DIR: "spool", HOME: "/home/x" },
    { STATE_DIRECTORY: "state:other", HOME: "/home/x" },
    { XDG_STATE_HOME: "state", HOME: "/home/x" },
    { XDG_STATE_HOME: "", HOME: "/home/x" },
    { HOME: "relative" },
    {},
  ])
    assert.ok(isAbsolute(queueFilePath("q", undefined, env)), JSON.stringify(env));
  assert.equal(
    queueFilePath("q", undefined, { XDG_STATE_HOME: "state", HOME: "/home/x" }),
    "/home/x/.local/state/eventspool/events-q.db",
    "as the XDG base directory specification has it",
  );
});
