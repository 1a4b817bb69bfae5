import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { test } from "node:test";
import { ConfigurationError, EventStorageError } from "../../../src/errors.ts";
import { exposuresOf, locateQueueFile, queueFilePath } from "../../../src/storage/locations.ts";
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

test("finds out who else may change a queue, by modes and owners", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "", { mode: 0o600 });
  assert.deepEqual(exposuresOf(path), []);
  assert.deepEqual(exposuresOf(join(directory.path, "gone", "events-main.db")), []);
  chmodSync(directory.path, 0o1777);
  chmodSync(path, 0o666);
  const problems = exposuresOf(path).map(({ problem }) => problem);
  assert.match(problems[0]!, /everyone may put files into .*mode 1777/);
  assert.match(problems[1]!, /everyone may read or write .*events-main\.db \(mode 0666\)/);
});

const cannotChange =
  process.getuid?.() !== 0 || process.seteuid === undefined || process.setuid === undefined;

test("warns of a file of another user", { skip: cannotChange && "only root can give files away" }, () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "", { mode: 0o600 });
  chownSync(path, 1_234, 1_234);
  const { getuid } = process;
  process.getuid = () => 4_321; // a process that gave up being root could not clean up
  try {
    assert.deepEqual(
      exposuresOf(path).map(({ problem }) => problem),
      [`${path} belongs to another user (1234)`],
    );
  } finally {
    if (getuid) process.getuid = getuid;
  }
});
