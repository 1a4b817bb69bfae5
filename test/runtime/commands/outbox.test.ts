import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertRejection, type Result, runCommand } from "../../support/commands.ts";
import { type TestShop, testShop } from "../../support/outbox.ts";
import { Spool } from "../../support/spool.ts";
import { openShop, SQLITE_LIBRARIES } from "../../support/sqlite_libraries.ts";
import { json, LIMIT, queue } from "./queue/queue_support.ts";

const SECTION = `[event-publisher:main]
collector.hostname = collector.example
key.name = K
key.secret = c2VjcmV0
admin.listen = off
`;

async function publisher(shop: TestShop, text: string, args: readonly string[] = []): Promise<Result> {
  const config = join(shop.directory, "publisher.ini");
  writeFileSync(config, SECTION + text, { mode: 0o600 });
  return runCommand("publisher", [...args, config]);
}

test("publisher --check names the service's database", LIMIT, async () => {
  using shop = testShop();
  const { code, stdout } = await publisher(shop, "queue.file = shop.db\n", ["--check"]);
  assert.equal(code, 0);
  const { file, directory, queue_ballast_bytes } = JSON.parse(stdout);
  assert.deepEqual(
    { file, directory, queue_ballast_bytes },
    {
      file: shop.path,
      directory: null,
      queue_ballast_bytes: 0,
    },
  );
});

test("the publisher says what is wrong with a service's database, in one line", LIMIT, async () => {
  using shop = testShop();
  openShop(SQLITE_LIBRARIES[0], join(shop.directory, "bare.db")).close();
  const journal = SQLITE_LIBRARIES[0].open(join(shop.directory, "bare.db"));
  const bare = await publisher(shop, "queue.file = bare.db\n");
  assertRejection(bare, /bare\.db has no outbox: start the service first/);
  journal.close();
  assertRejection(await publisher(shop, "queue.file = nope.db\n"), /The database .*nope\.db does not exist/);
  const both = "queue.file = shop.db\nqueue.directory = /spool\n";
  assertRejection(await publisher(shop, both), /queue\.file: and queue\.directory are both set/);
  const twice = await publisher(shop, "queue.file = shop.db\n", ["--directory", "/spool"]);
  assertRejection(twice, /--directory and queue\.file \(.*shop\.db\) name two locations/, { isUsage: true });
});

test("queue shows, drains and checks an outbox by the path of its file", LIMIT, async () => {
  using spool = new Spool();
  using shop = testShop();
  const at = ["--file", shop.path];
  shop.outbox.putMany([{ n: 1 }, { n: 2 }]);

  const [[depth], [page], peeked, checked] = await Promise.all([
    json(spool, ["depth", ...at]),
    json(spool, ["status", ...at]),
    queue(spool, ["peek", ...at]),
    queue(spool, ["check", ...at]),
  ]);
  assert.equal(depth!.depth, 2);
  const [publisher] = page!.publishers as { state: string }[];
  assert.deepEqual([page!.depth, publisher!.state], [2, "unknown"]);
  assert.match(peeked.stdout, /waiting {2}\{"n":1\}\n.*waiting {2}\{"n":2\}/s);
  assert.equal(checked.code, 0, checked.stdout);
  assert.match(checked.stdout, /integrity_check: ok\n.*2 of at most 10000 events.*the write lock is free/s);

  const target = join(shop.directory, "drained.jsonl");
  assert.equal((await queue(spool, ["drain", "--to", target, ...at])).code, 0);
  assert.equal(readFileSync(target, "utf8"), '{"n":1}\n{"n":2}\n');
  assert.equal(shop.outbox.depth(), 0);
});

test("queue says what it cannot do with an outbox", LIMIT, async () => {
  using spool = new Spool();
  using shop = testShop();
  const cases: [string[], RegExp][] = [
    [["put", "--file", shop.path], /unknown option --file/],
    [["list", "--file", shop.path], /unknown option --file/],
    [["depth", "--file", `${shop.path}x`], /The file .*shop\.dbx does not exist/],
    [["depth", "--file", spool.queue.file], /is a queue's own file/],
    [["depth", "--file", shop.path, "--directory", shop.directory], /name two locations: pass one of them/],
  ];
  const results = await Promise.all(cases.map(([args]) => queue(spool, args)));
  for (const [index, [args, shown]] of cases.entries()) {
    assert.match(results[index]!.stderr, shown, args.join(" "));
    assert.equal(results[index]!.code, 2, args.join(" "));
  }
});
