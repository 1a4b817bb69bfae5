import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { EventTable } from "../../../src/storage/events.ts";
import { QueueFile } from "../../../src/storage/queue_file.ts";
import { insertDeadLetters, json, LIMIT, queue } from "../../runtime/commands/queue/queue_support.ts";
import { eventually } from "../../support/eventually.ts";
import fc from "../../support/fast_check.ts";
import { start } from "../../support/processes.ts";
import { HANG, numbersFrom, ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool, stop } from "../../support/spool.ts";

test("shows, exports, retries and purges dead letters", LIMIT, async () => {
  using spool = new Spool();
  spool.put(150);
  insertDeadLetters(spool, 120);
  assert.match(
    (await queue(spool, ["dead", "list", "--all"])).stdout,
    /^ *ID +REJECTED +STATUS .*\n +1 .* 422 +1 +7 B +no noun in 1\n/,
  );
  const [shown] = await json(spool, ["dead", "show", "7"]);
  assert.deepEqual([shown?.status, shown?.response, shown?.event], [422, "no noun in 7", { n: 7 }]);

  const file = join(spool.directory, "dead.jsonl");
  assert.equal((await queue(spool, ["dead", "export", "--to", file])).code, 0);
  assert.equal(readFileSync(file, "utf8").trimEnd().split("\n").length, 120);

  assert.deepEqual(await json(spool, ["dead", "retry", "3", "5"]), [{ retried: 2 }]);
  assert.deepEqual(await json(spool, ["dead", "retry", "3"], 1), [{ retried: 0 }]);
  assert.deepEqual(await json(spool, ["dead", "purge", "1", "--yes"]), [{ purged: 1 }]);
  assert.deepEqual(await json(spool, ["dead", "purge", "--all", "--older-than", "1h", "--yes"]), [
    { purged: 0 },
  ]);
  assert.deepEqual(await json(spool, ["dead", "retry", "--all"]), [{ retried: 117 }]);
  assert.equal(spool.queue.depth(), 30 + 119);
  assert.deepEqual(spool.deadLetters(), []);

  await using collector = await ScriptedCollector.open();
  await using _publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(
    collector.acceptedNumbers.toSorted((a, b) => a - b),
    numbersFrom(2, 150),
    "all but the one that was purged",
  );
});

test("retries as many dead letters as the queue has room for", LIMIT, async () => {
  using spool = new Spool();
  spool.put(5);
  insertDeadLetters(spool, 4);
  spool.cap(3);
  const { code, stdout, stderr } = await queue(spool, ["dead", "retry", "--all"]);
  assert.deepEqual([code, stdout], [1, "Put 2 of 4 dead letters back into the queue.\n"]);
  assert.match(stderr, /The queue is full/);
});

test("puts lines of JSON, and says where to continue when one cannot be put", LIMIT, async () => {
  using spool = new Spool();
  const lines = Array.from({ length: 250 }, (_, index) => `{"n":${index + 1}}`);
  assert.equal((await queue(spool, ["put"], `${lines.join("\n")}\n\n`)).stdout, "250 events put.\n");
  assert.equal(spool.queue.depth(), 250);

  const bad = await queue(spool, ["put"], '{"n":1}\n{"n":2\n{"n":3}\n');
  assert.deepEqual([bad.code, bad.stdout], [1, "1 event put.\n"]);
  assert.match(bad.stderr, /^Line 2: It is not JSON\. Continue from this line\./);

  spool.cap(253);
  const full = await queue(spool, ["put"], '{"n":1}\n{"n":2}\n{"n":3}\n');
  assert.deepEqual([full.code, full.stdout], [1, "2 events put.\n"]);
  assert.match(full.stderr, /^Line 3: The event queue is full\./);
});

test(
  "drains a queue to a file that can be put back, byte for byte, and leaves what a publisher holds",
  LIMIT,
  async () => {
    using spool = new Spool();
    await using collector = await ScriptedCollector.open();
    collector.script = HANG;
    spool.put(2);
    await using publisher = spool.publisher({
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "collector.timeout": "10m",
    });
    await eventually("a batch in flight", () => collector.batches.length === 1);
    await stop(publisher, "SIGKILL"); // its lease holds for a while
    spool.put(3_000, { text: "é", big: "x".repeat(2_000) });
    const before = bodiesIn(spool, 3);

    const file = join(spool.directory, "drained.jsonl");
    const { code, stderr } = await queue(spool, ["drain", "--to", file]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /3000 events drained, 2 left\.\nThe events that are left were claimed/);
    assert.equal(spool.queue.depth(), 2);

    assert.equal((await queue(spool, ["put"], readFileSync(file, "utf8"))).stdout, "3000 events put.\n");
    assert.deepEqual(bodiesIn(spool, 3_003), before);
  },
);

function bodiesIn(spool: Spool, fromId: number): string[] {
  const file = QueueFile.openReadOnly(spool.queue.file);
  const events = new EventTable(file).read({ fromId, limit: 10_000 });
  file.close();
  return events.map(({ body }) => Buffer.from(body).toString());
}

test("drains up to the first event that fits on no line, and says which", LIMIT, async () => {
  using spool = new Spool();
  spool.put(5);
  spool.queue.put(Buffer.from([0xff, 0xfe]));
  spool.put(5);
  const { code, stdout, stderr } = await queue(spool, ["drain", "--to", "-"]);
  assert.equal(code, 1);
  assert.deepEqual(
    stdout.trimEnd().split("\n"),
    numbersFrom(1, 5).map((n) => `{"n":${n}}`),
  );
  assert.match(stderr, /Event 6 is not JSON and cannot be a line/);
  assert.equal(spool.queue.depth(), 6);
});

test(
  "loses nothing when it is killed while it drains: what is not in the file is in the queue",
  LIMIT,
  async () => {
    using spool = new Spool();
    spool.put(20_000, { text: "x".repeat(100) });
    const file = join(spool.directory, "drained.jsonl");
    await using drain = start("src/commands/queue.ts", [
      "drain",
      "--to",
      file,
      "--directory",
      spool.directory,
    ]);
    await eventually("some that are drained", () => spool.queue.depth() < 20_000);
    drain.signal("SIGKILL");
    await drain.ended;
    spool.expireLeases();

    const rest = join(spool.directory, "rest.jsonl");
    assert.equal((await queue(spool, ["drain", "--to", rest])).code, 0);
    const numbers = [file, rest]
      .flatMap((path) => readFileSync(path, "utf8").split("\n"))
      .filter((line) => line.endsWith("}"))
      .map((line) => (JSON.parse(line) as { n: number }).n);
    assert.equal(new Set(numbers).size, 20_000);
  },
);

test("purges all that waits, and leaves no trace but the ids", LIMIT, async () => {
  using spool = new Spool();
  spool.put(5_000);
  assert.deepEqual(await json(spool, ["purge", "--yes"]), [{ purged: 5_000, left: 0 }]);
  assert.equal(spool.queue.depth(), 0);
  assert.deepEqual(spool.leases(), []);
  spool.put(1);
  assert.equal((await json(spool, ["peek"]))[0]?.id, 5_001);
});

test("lists dead letters by reason, each with --all, and those that a filter leaves", LIMIT, async () => {
  using spool = new Spool();
  spool.put(12);
  insertDeadLetters(spool, 10);
  const list = async (...args: string[]): Promise<string[]> =>
    (await queue(spool, ["dead", "list", ...args])).stdout.trimEnd().split("\n");
  const [header, group, ...others] = await list();
  assert.match(header!, /^COUNT +STATUS +FIRST +LAST +LAST ID +RESPONSE$/);
  assert.match(group!, /^ +10 +422 .* 10 {2}no noun in #$/);
  assert.deepEqual(others, []);
  assert.equal((await list("--all")).length, 1 + 10);
  assert.match((await list("--all", "--limit", "1"))[1]!, /^10 .* no noun in 10$/);
  assert.equal((await list("--all", "--reason", "NOUN IN 1")).length, 1 + 2);
  assert.deepEqual(await list("--status", "400"), ["No dead letters."]);
  assert.deepEqual(await json(spool, ["dead", "retry", "--reason", "noun in 1"]), [{ retried: 2 }]);
  assert.deepEqual(await json(spool, ["dead", "purge", "--older-than", "0s", "--yes"]), [{ purged: 8 }]);
});

test("follows dead letters as they come, and no other than the filter leaves", LIMIT, async () => {
  using spool = new Spool();
  spool.put(5);
  insertDeadLetters(spool, 2);
  const args = ["dead", "list", "--follow", "--limit", "1", "--directory", spool.directory];
  await using follow = start("src/commands/queue.ts", args);
  await follow.line(/no noun in 2$/);
  insertDeadLetters(spool, 3, 3);
  await follow.line(/no noun in 5$/);
  assert.equal(await stop(follow, "SIGINT"), 0);
  assert.equal(follow.stdout.length, 1 + 3);
});

/** JSON texts with white space around and in them, and with every character that ends lines elsewhere. */
const jsonLine = fc
  .tuple(
    fc.constantFrom("", " ", "\t", "\r"),
    fc.oneof(
      fc.json({ stringUnit: "binary" }),
      fc
        .string({ unit: fc.constantFrom("\u2028", "\u2029", "\u0085", "\u007f", "\ufeff", "é", "😀") })
        .map((text) => `{"a":"${text}"}`),
      fc.constantFrom('{"n":12345678901234567890.10,"n":1e400,"m":-0}', '{ "a" :\r[ 1 ,\t2 ] }', '"\\ud800"'),
    ),
    fc.constantFrom("", " ", "\r", "\t\r"),
  )
  .map((parts) => parts.join(""));

test("puts lines and drains them, byte for byte the same", LIMIT, async () => {
  using spool = new Spool();
  const input = Buffer.from(`${fc.sample(jsonLine, 400).join("\n")}\n`);
  assert.deepEqual(await queue(spool, ["put"], input), { code: 0, stdout: "400 events put.\n", stderr: "" });
  const file = join(spool.directory, "drained.jsonl");
  const { code, stderr } = await queue(spool, ["drain", "--to", file]);
  assert.equal(code, 0, stderr);
  assert.equal(Buffer.compare(readFileSync(file), input), 0);
});

test("rejects a line that a collector would reject, and says why", LIMIT, async () => {
  const deep = "[".repeat(513) + "]".repeat(513);
  const lines: [line: string | Uint8Array, problem: RegExp][] = [
    ["\ufeff{}", /begins with a byte order mark/],
    [Buffer.from('{"a":"\xff"}', "latin1"), /not UTF-8/],
    ["\v{}", /not JSON/],
    [deep, /nests deeper than 512/],
  ];
  using spool = new Spool();
  for (const [line, problem] of lines) {
    const input = Buffer.concat([
      Buffer.from('{"a":"[{"}\r\n\n'),
      Buffer.from(line),
      Buffer.from('\n{"b":2}'),
    ]);
    const { code, stdout, stderr } = await queue(spool, ["put"], input);
    assert.deepEqual([code, stdout], [1, "1 event put.\n"]);
    assert.match(stderr, problem);
    assert.match(stderr, /^Line 3: .* Continue from this line\.$/m);
  }
  assert.equal(spool.queue.depth(), lines.length);
});
