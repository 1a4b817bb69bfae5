import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { insertDeadLetters, json, LIMIT, queue } from "../../runtime/commands/queue/queue_support.ts";
import { start } from "../../support/processes.ts";
import { HANG, ScriptedCollector } from "../../support/scripted_collector.ts";
import { Spool, stop } from "../../support/spool.ts";

test("says what is wrong with a command line, and suggests what was meant", LIMIT, async () => {
  using spool = new Spool();
  const cases: [string[], number, RegExp][] = [
    [["--help"], 0, /VERB.*check {2,}examine/s],
    [["--version"], 0, /^\d+\.\d+\.\d+/],
    [["help"], 0, /VERB.*check {2,}examine/s],
    [["help", "dead", "list"], 0, /dead list: show the dead letters/],
    [["dead", "--help"], 0, /dead retry {2,}put dead letters back/],
    [[], 2, /queue\.ts: no verb\.\nHelp: .*queue\.ts --help$/m],
    [["depht"], 2, /unknown verb depht: did you mean depth\?/],
    [["dead", "lits"], 2, /unknown verb dead lits: did you mean dead list\?/],
    [["__proto__"], 2, /unknown verb __proto__\./],
    [
      ["depth", "--wacth"],
      2,
      /unknown option --wacth: did you mean --watch\?\nHelp: .*queue\.ts depth --help$/m,
    ],
    [["depth", "--watch=1"], 2, /--watch takes no value/],
    [["depth", "web"], 2, /unexpected argument "web": name a queue with --queue-name\./],
    [["depth", "--interval", "x"], 2, /--interval: expected a duration such as .*, got "x"/],
    [
      ["depth", "--queue-name", "mian"],
      2,
      /Queue "mian" does not exist in .*, which has only main\. Did you mean "main"\?/,
    ],
    [["depth", "--queue-name", "../x"], 2, /is not a queue name/],
    [["list", "--directory", "/nowhere/at/all"], 2, /\/nowhere\/at\/all does not exist: start the service/],
    [["drain"], 2, /missing option --to, for example: .* drain --to events\.jsonl/],
    [["drain", "--to", "/nowhere/x"], 2, /--to: cannot append to \/nowhere\/x \(ENOENT\): choose a file/],
    [["dead", "export", "--to", "/nowhere/x"], 2, /--to: cannot append to \/nowhere\/x/],
    [["dead", "show", "x"], 2, /expected the ID of a dead letter, such as 3, got "x"/],
    [["dead", "show", "9"], 1, /dead letter 9 does not exist\. All there are: .* dead list --all$/m],
    [["dead", "purge"], 2, /no dead letter named/],
    [["dead", "purge", "3", "--all"], 2, /pass ids, or --all and filters, not both/],
    [["dead", "purge", "--older-than"], 2, /--older-than needs a value, for example --older-than 36h/],
    [
      ["dead", "purge", "--older-than", "--yes"],
      2,
      /--older-than needs a value, for example --older-than 36h/,
    ],
    [["drain", "--to", `${spool.queue.file}-wal`], 2, /-wal is a file of the queue itself: choose another\./],
    [["drain", "--to", "/dev/null"], 2, /--to: is closed or \/dev\/null, where events are lost: name a file/],
    [["peek", "-n", "-1"], 2, /--number needs a value, for example --number 10/],
    [["peek", "-n", "x"], 2, /--number: expected an integer/],
    [["purge"], 2, /not a terminal, so nobody can be asked: pass --yes/],
    [["completion", "csh"], 2, /expected one shell: bash, zsh, fish/],
  ];
  const results = await Promise.all(cases.map(([args]) => queue(spool, args)));
  for (const [index, [args, code, shown]] of cases.entries()) {
    const result = results[index]!;
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stdout + result.stderr, shown);
    assert.doesNotMatch(result.stderr, /^\s+at /m, "no stack");
  }
});

test("lists the queues of a directory, with the broken ones and why", LIMIT, async () => {
  using spool = new Spool();
  spool.put(3);
  writeFileSync(join(spool.directory, "events-broken.db"), "nonsense");
  const { code, stdout, stderr } = await queue(spool, ["list"]);
  assert.equal(code, 1);
  assert.match(stdout, /^QUEUE +DEPTH +CAP .*\nbroken +- .*\nmain +3 +1000000 +0 +0 /);
  assert.match(stderr, /^broken: .*is not a queue file/);
  const [listed] = await json(spool, ["list"], 1);
  assert.deepEqual(
    (listed!.queues as { queue: string; depth?: number }[]).map(({ queue: name, depth }) => [name, depth]),
    [
      ["broken", undefined],
      ["main", 3],
    ],
  );
});

test("shows the depth as the publisher does, and changes nothing in the file", LIMIT, async () => {
  using spool = new Spool();
  spool.put(4);
  insertDeadLetters(spool, 1);
  spool.close();
  const before = readFileSync(spool.queue.file);
  const [{ subscriptions, ...depth } = {}] = await json(spool, ["depth"]);
  const { name, depth: depthOfOne } = (subscriptions as { name: string; depth: number }[])[0]!;
  assert.deepEqual({ name, depthOfOne }, { name: "default", depthOfOne: 3 });
  assert.deepEqual(
    { ...depth, oldest_event_age_seconds: 0 },
    {
      queue: "main",
      depth: 3,
      max_events: 1_000_000,
      leased: 0,
      dead_letters: 1,
      dead_letter_bytes: 7 + 12,
      dropped_dead_letters: 0,
      rejected_puts: { full: 0, too_large: 0, invalid: 0, storage: 0 },
      oldest_event_age_seconds: 0,
      retained_bytes: 0,
    },
  );
  await queue(spool, ["peek"]);
  await queue(spool, ["check"]);
  assert.deepEqual(readFileSync(spool.queue.file), before);
});

test("watches the depth until it is interrupted, with events put and removed a second", LIMIT, async () => {
  using spool = new Spool();
  await using watch = start("src/commands/queue.ts", [
    "depth",
    "--watch",
    "--interval",
    "50ms",
    "--directory",
    spool.directory,
  ]);
  await watch.line(/PUT\/S +REMOVED\/S/);
  const put = setInterval(() => spool.put(1), 5);
  await watch.line(/ [1-9]\d* +0$/);
  clearInterval(put);
  assert.equal(await stop(watch, "SIGINT"), 0);
});

test("peeks at the oldest events, and claims none", LIMIT, async () => {
  using spool = new Spool();
  spool.put(250, { text: "ä\u001b" });
  const events = await json(spool, ["peek", "-n", "201"]);
  assert.equal(events.length, 201);
  const { put_at: _, ...first } = events[0]!;
  assert.deepEqual(first, { id: 1, size_bytes: 25, state: "waiting", event: { n: 1, text: "ä\u001b" } });
  assert.match(
    (await queue(spool, ["peek", "-n", "1"])).stdout,
    /^ +ID +AGE +SIZE {2}STATE {4}EVENT\n +1 +\d.*s +25 B {2}waiting {2}\{"n":1/,
  );
  assert.deepEqual(spool.leases(), []);
});

test("ends quietly when the reader of its output goes", LIMIT, async () => {
  using spool = new Spool();
  spool.put(20_000);
  await using peek = start("src/commands/queue.ts", ["peek", "-n", "20000", "--directory", spool.directory]);
  await peek.line(/"n":1\}/);
  peek.child.stdout?.destroy();
  assert.equal(await peek.ended, 0, peek.stderr.join("\n"));
  assert.deepEqual(peek.stderr, []);
});

test("follows events as they are put, beside a publisher", LIMIT, async () => {
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  collector.script = HANG;
  await using _publisher = spool.publisher({ "collector.hostname": `127.0.0.1:${collector.port}` });
  spool.put(3);
  await using tail = start("src/commands/queue.ts", ["tail", "-n", "1", "--directory", spool.directory]);
  await tail.line(/"n":3/);
  spool.put(1);
  await tail.line(/"n":4/);
  assert.equal(await stop(tail, "SIGINT"), 0);
  assert.equal(tail.stdout.length, 1 + 2);
});

test("makes no file and no directory where there was none", LIMIT, async () => {
  using spool = new Spool();
  const files = readdirSync(spool.directory);
  for (const verb of ["depth", "peek", "check", "put"])
    assert.equal((await queue(spool, [verb, "--queue-name", "other"], "{}\n")).code, 2);
  assert.deepEqual(readdirSync(spool.directory), files);
});
