/**
 * Copies the statements of schema.sql into src/storage/schema.generated.ts, so that bundles and compiled programs contain
 * the schema. What is between the statements stays behind: a service would load it, and SQLite does not store it.
 * `--check` only fails if the copy is stale.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { exit } from "node:process";

const source = new URL("../schema.sql", import.meta.url);
const target = new URL("../src/storage/schema.generated.ts", import.meta.url);

const sql = readFileSync(source, "utf8")
  .replace(/^(?:--.*)?\n/gm, "")
  .replace(/[\\`$]/g, "\\$&");
const text = `// Generated from schema.sql by scripts/generate_schema.ts. Do not edit.\nexport const SCHEMA_SQL: string = \`${sql}\`;\n`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/storage/schema.generated.ts is stale: run `bun run generate`");
    exit(1);
  }
} else {
  writeFileSync(target, text);
}
