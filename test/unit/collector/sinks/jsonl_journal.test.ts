import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { DedupIndex } from "../../../../src/collector/sinks/dedup_index.ts";
import { type JournalBatch, JsonlJournal, recover } from "../../../../src/collector/sinks/jsonl_journal.ts";
import { parseEventIds } from "../../../../src/wire/event_ids.ts";
import { queueUuid } from "../../../support/batches.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const INODE = 7;

/** Three batches of one event of two bytes. */
const CONTENT = "1\n2\n3\n";

/** The n-th of them. */
function batchAt(nth: number): JournalBatch {
  const [beginBytes, endBytes] = [2 * nth, 2 * nth + 2];
  const checksum = crc32(CONTENT.slice(beginBytes, endBytes));
  const ids = parseEventIds(`${queueUuid(1)}:${nth + 1}`);
  return { beginBytes, endBytes, checksum, eventCount: 1, source: "web", ids };
}

/**
 * What the journal of the three batches says of a file that was found after a crash.
 *
 * @param found `syncedBytes`: how much was synced before the last batch was appended
 */
function recovered({
  content = CONTENT,
  inode = INODE,
  syncedBytes = 0,
  startBytes = 0,
  batches = [0, 1, 2].map(batchAt),
  damage = (journal: string): string => journal,
} = {}) {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl.journal");
  const header = { startBytes, openedAtMs: 5, rotationCount: 3, inode: INODE };
  const journal = new JsonlJournal(path, header, { seen: new DedupIndex(), mode: 0o600 });
  journal.append(batches, syncedBytes);
  journal.close();
  writeFileSync(path, damage(readFileSync(path, "latin1")));
  const bytes = Buffer.from(content);
  const read = (begin: number, end: number): Buffer => bytes.subarray(begin, end);
  const { seen, ...state } = recover(path, { sizeBytes: bytes.length, inode, read });
  const ids = [...seen.queues()].map((queue) => seen.format(queue)!.split(":")[1]);
  return { ...state, ids: ids.join() };
}

test("a sound file is whole, and the ids of all batches are known", () => {
  const whole = {
    openedAtMs: 5,
    rotationCount: 3,
    isSameFile: true,
    wholeBytes: 6,
    isRestTorn: false,
    ids: "1-3",
  };
  assert.deepEqual(recovered(), whole);
  assert.deepEqual(recovered({ content: `${CONTENT}more` }), whole, "the journal says nothing of the rest");
});

test("a file is torn from the first batch on that a power cut has left incomplete or with zeros", () => {
  for (const [content, wholeBytes, ids] of [
    ["1\n2\n3", 4, "1-2"],
    ["1\n2\n\0\0", 4, "1-2"],
    ["1\n\0\n3\n", 2, "1"],
    ["\0\n2\n3\n", 0, ""],
  ] as const) {
    const { wholeBytes: found, isRestTorn, ids: known } = recovered({ content });
    assert.deepEqual([found, isRestTorn, known], [wholeBytes, true, ids], JSON.stringify(content));
  }
});

test("what another program changed is not torn: what was synced, another file, or other text than zeros", () => {
  for (const found of [
    { content: "1\n\0\n3\n", syncedBytes: 4 },
    { content: "1\n\0\n3\n", inode: INODE + 1 },
    { content: "1\nX\n3\n" },
  ]) {
    const { wholeBytes, isRestTorn } = recovered(found);
    assert.deepEqual([wholeBytes, isRestTorn], [6, false], JSON.stringify(found));
  }
  assert.equal(recovered({ content: "1\n2\n\0\n", syncedBytes: 4 }).wholeBytes, 4, "only what was synced");
});

test("a journal is ignored where a batch does not begin at the end of the one before", () => {
  const { wholeBytes, isRestTorn, ids } = recovered({ batches: [0, 2].map(batchAt) });
  assert.deepEqual([wholeBytes, isRestTorn, ids], [2, false, "1"]);
});

test("a journal is ignored behind a line whose numbers, source or ids cannot be read", () => {
  for (const [from, to] of [
    ["batch 2 4", "batch 2 x"],
    [`1 web ${queueUuid(1)}:2`, `1 % ${queueUuid(1)}:2`],
    [`${queueUuid(1)}:2`, `${queueUuid(1)}:2-1`],
  ] as const) {
    const { wholeBytes, isRestTorn, ids } = recovered({ damage: (journal) => journal.replace(from, to) });
    assert.deepEqual([wholeBytes, isRestTorn, ids], [2, false, "1"], to);
  }
  const withoutIds = recovered({ damage: (journal) => journal.replace(`${queueUuid(1)}:2`, "-") });
  assert.deepEqual([withoutIds.wholeBytes, withoutIds.ids], [6, "1,3"]);
});

test("a file that is smaller than when its journal was written is another one", () => {
  const { isSameFile, wholeBytes } = recovered({ startBytes: 7, batches: [] });
  assert.deepEqual([isSameFile, wholeBytes], [false, 0]);
  assert.equal(recovered({ startBytes: 6, batches: [] }).wholeBytes, 6);
});

test("a journal is long once it has grown by more than 1 MiB, until it is rewritten", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events.jsonl.journal");
  const header = { startBytes: 0, openedAtMs: 5, rotationCount: 3, inode: INODE };
  const journal = new JsonlJournal(path, header, { seen: new DedupIndex(), mode: 0o600 });
  const startBytes = journal.sizeBytes;
  const batches = Array(1_000).fill(batchAt(0));
  while (journal.sizeBytes - startBytes <= 1_048_576) {
    assert.equal(journal.isLong, false);
    journal.append(batches, 0);
  }
  assert.equal(journal.isLong, true);
  journal.rewrite(header, new DedupIndex());
  assert.deepEqual([journal.isLong, journal.sizeBytes], [false, startBytes]);
  journal.close();
});
