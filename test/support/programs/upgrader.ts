/**
 * Upgrades the queue in a file to an invented next version: `upgrader.ts FILE STEPS`. The migration first counts to
 * STEPS, and so takes its time. Prints the version.
 */
import process from "node:process";
import { MIGRATIONS, prepareSchema, schemaVersion } from "../../../src/storage/schema.ts";
import { openShell } from "../shell.ts";

const [path = "", steps] = process.argv.slice(2);
const db = openShell(path, { busyTimeoutMs: 60_000 });
console.log("ready");
prepareSchema(db, path, [
  ...MIGRATIONS,
  `ALTER TABLE eventspool_event ADD COLUMN hue TEXT;
   CREATE TABLE eventspool_count AS WITH RECURSIVE steps (step) AS
     (SELECT 1 UNION ALL SELECT step + 1 FROM steps WHERE step < ${Number(steps)}) SELECT max(step) FROM steps;`,
]);
console.log(`version ${schemaVersion(db)}`);
db.close();
