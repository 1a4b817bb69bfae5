import assert from "node:assert/strict";
import { test } from "node:test";
import { openSink } from "../../../src/collector/sinks/open_sink.ts";
import { numberedBatch } from "../../support/batches.ts";
import { readBlocks } from "../../support/doc_page.ts";
import { NO_POSTGRES, postgresConfig, startPostgres } from "../../support/postgres.ts";

test("the table of docs/postgres.md is the one that is created, and its rights are enough", {
  skip: NO_POSTGRES,
}, async () => {
  await using server = await startPostgres("fsync=off");
  const block = readBlocks("docs/postgres.md").find(({ language }) => language === "sql")!;
  await server.query(`CREATE ROLE events LOGIN PASSWORD 'events'; ${block.text}`);
  const url = server.url({ user: "events", password: "events" });
  const stores = async (address: string, table: string): Promise<void> => {
    const sink = await openSink(postgresConfig(address, { "postgres.table": table }));
    assert.deepEqual(await sink.store(numberedBatch(1, 3)), { stored: 3, duplicates: 0 });
    assert.deepEqual(await sink.store(numberedBatch(2, 4)), { stored: 1, duplicates: 2 });
    await sink.close();
  };
  await stores(url, "events");
  await stores(server.url(), "created");
  const columnsOf = (table: string) =>
    server.query(
      `SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_name = '${table}' ORDER BY ordinal_position`,
    );
  assert.deepEqual([...(await columnsOf("events"))], [...(await columnsOf("created"))]);
});
