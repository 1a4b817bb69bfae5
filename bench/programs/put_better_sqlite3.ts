/** The floor: a bare INSERT of better-sqlite3 with the same table and settings, without a cap. */
import Database from "better-sqlite3";
import { bareInsert } from "./bare_insert.ts";
import { ownDirectory } from "./rounds.ts";

const db = new Database(`${ownDirectory()}/bare.db`);
await bareInsert(db, (sql) => {
  const statement = db.prepare<unknown[]>(sql);
  return (...values) => void statement.run(...values);
});
