import assert from "node:assert/strict";
import { test } from "node:test";
import { numberedBatch } from "../../support/batches.ts";
import { eventually } from "../../support/eventually.ts";
import { start } from "../../support/processes.ts";
import { SINK_KINDS } from "../../support/sinks.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** How often the process is killed. */
const ROUNDS = 10;

/** The lowest id that was not reported as stored. */
function firstMissing(kept: ReadonlySet<number>): number {
  let id = 1;
  while (kept.has(id)) id++;
  return id;
}

function note(kept: Set<number>, lines: readonly string[]): void {
  for (const line of lines) {
    const [, first, last] = /^kept (\d+)-(\d+)$/.exec(line) ?? [];
    if (last === undefined) continue; // the kill has cut it off
    for (let id = Number(first); id <= Number(last); id++) kept.add(id);
  }
}

for (const [kind, { name, open, read }] of Object.entries(SINK_KINDS))
  test(`${name}: each event is stored exactly once, though the process is killed ${ROUNDS} times`, {
    timeout: 600_000,
  }, async () => {
    using directory = temporaryDirectory();
    const kept = new Set<number>();
    for (let round = 1; round <= ROUNDS; round++) {
      const fsync = round % 3 === 0 ? "always" : "never";
      const args = [kind, directory.path, String(firstMissing(kept)), fsync];
      await using writer = start("test/support/programs/sink_writer.ts", args);
      const enough = 1 + Math.floor(Math.random() * 15);
      await eventually("batches", () => {
        assert.equal(writer.child.exitCode, null, writer.stderr.join("\n"));
        return writer.stdout.length >= enough;
      });
      writer.signal("SIGKILL");
      assert.equal(await writer.ended, "SIGKILL", writer.stderr.join("\n"));
      note(kept, writer.stdout);
    }

    await using sink = open(directory.path); // removes what the kill has cut short
    const ids = (): number[] => read(directory.path).map((event) => Number(/^"?(\d+)/.exec(event)?.[1]));
    const stored = new Set(ids());
    assert.deepEqual(
      [...kept].filter((id) => !stored.has(id)),
      [],
      "what was reported as stored is there",
    );
    // Not the last that we have read of: a slow reader is far behind.
    const lastId = ids().reduce((a, b) => Math.max(a, b), 0) + 1;
    await sink.store(numberedBatch(1, lastId));
    const expected = Array.from({ length: lastId }, (_, index) => index + 1);
    assert.deepEqual(
      ids().toSorted((a, b) => a - b),
      expected,
    );
  });
