/** A bare INSERT in each mode, with any library. */
import { readFileSync } from "node:fs";
import { makeEvent, measure, task } from "./rounds.ts";

/** The settings of a queue in a service: rare checkpoints, because the publisher does them. */
const AUTOCHECKPOINT_PAGES = 16_000;

type Run = (...values: (number | Uint8Array)[]) => void;

/** Measures `INSERT` into the event table of schema.sql. @param prepare prepares a statement once */
export async function bareInsert(
  db: { exec(sql: string): unknown; close(): unknown },
  prepare: (sql: string) => Run,
): Promise<void> {
  db.exec("PRAGMA journal_mode = WAL");
  db.exec(readFileSync(new URL("../../schema.sql", import.meta.url), "utf8"));
  db.exec(`PRAGMA synchronous = ${task.synchronous}; PRAGMA wal_autocheckpoint = ${AUTOCHECKPOINT_PAGES}`);
  const insert = prepare("INSERT INTO eventspool_event (put_at_ms, body) VALUES (?, ?)");
  const [begin, commit] = [prepare("BEGIN IMMEDIATE"), prepare("COMMIT")];
  const event = makeEvent();
  const many = (count: number): void => {
    begin();
    for (let put = 0; put < count; put++) insert(Date.now(), event);
    commit();
  };
  await measure({ one: () => insert(Date.now(), event), many });
  db.close();
}
