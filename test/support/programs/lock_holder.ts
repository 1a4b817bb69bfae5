/** Holds the write lock of a database until stdin ends: `lock_holder.ts FILE`. */
import process from "node:process";
import Database from "better-sqlite3";

const db = new Database(process.argv[2]!);
db.exec("BEGIN IMMEDIATE");
process.stdout.write("held\n");
process.stdin.resume().on("end", () => {
  db.close();
  process.exit();
});
