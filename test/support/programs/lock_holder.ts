/** Holds the write lock of a database until stdin ends or, if given, for some milliseconds: `lock_holder.ts FILE [MS]`. */
import process from "node:process";
import Database from "better-sqlite3";

const db = new Database(process.argv[2]!);
db.exec("BEGIN IMMEDIATE");
process.stdout.write("held\n");
const release = (): void => {
  db.close();
  process.exit();
};
process.stdin.resume().on("end", release);
if (process.argv[3] !== undefined) setTimeout(release, Number(process.argv[3]));
