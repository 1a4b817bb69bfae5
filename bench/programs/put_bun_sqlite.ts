/** The floor with bun:sqlite: a bare INSERT with the same table and settings, without a cap. */
import { Database } from "bun:sqlite";
import { bareInsert } from "./bare_insert.ts";
import { ownDirectory } from "./rounds.ts";

const db = new Database(`${ownDirectory()}/bare.db`);
await bareInsert(db, (sql) => {
  const statement = db.query(sql);
  return (...values) => void statement.run(...(values as (number | Uint8Array)[]));
});
