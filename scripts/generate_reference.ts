/**
 * Writes docs/reference/, a page an entry point and one for the configuration, from the docstrings of `src`, and the
 * lines of docs/README.md that lead there. `--check` only tells whether all of it is fresh.
 *
 * `bun scripts/generate_reference.ts [--check] [DIRECTORY]`; the directory is docs unless it is given.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readDocs } from "./reference/deno_doc.ts";
import { referenceOf } from "./reference/pages.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const BEGIN = "<!-- reference: generated -->";
const END = "<!-- end of reference -->";

const { values, positionals } = parseArgs({
  options: { check: { type: "boolean", default: false } },
  allowPositionals: true,
});
const directory = positionals[0] ?? join(ROOT, "docs");

const { name, exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const { pages, index } = referenceOf({ name, exports, docs: readDocs(ROOT) });
const wanted = new Map([
  ...[...pages].map(([page, text]): [string, string] => [`reference/${page}`, formatted(text)]),
  ["README.md", withIndex(index, read("README.md"))],
]);
const stale = [...wanted.keys()].filter((path) => read(path) !== wanted.get(path));
const left = pagesThere().filter((path) => !wanted.has(path));

if (values.check) {
  for (const path of stale) console.error(`docs/${path} is stale: run \`bun run generate\``);
  for (const path of left) console.error(`docs/${path} describes nothing any more: run \`bun run generate\``);
  process.exit(stale.length + left.length > 0 ? 1 : 0);
}
for (const path of left) rmSync(join(directory, path));
for (const path of stale) {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), wanted.get(path)!);
}

/** As Biome writes Markdown, which checks all that is committed. */
function formatted(markdown: string): string {
  const args = ["x", "biome", "format", "--stdin-file-path=docs/reference/page.md"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    input: `${markdown}\n`,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`biome format ended with ${status}: ${stderr}`);
  return stdout;
}

function withIndex(lines: string, text = ""): string {
  const [before, rest] = text.split(BEGIN);
  const [, after] = rest?.split(END) ?? [];
  if (after === undefined) throw new Error(`docs/README.md lacks ${BEGIN} or, after it, ${END}`);
  return `${before}${BEGIN}\n\n${lines}\n\n${END}${after}`;
}

function pagesThere(): string[] {
  try {
    return readdirSync(join(directory, "reference")).map((page) => `reference/${page}`);
  } catch {
    return []; // there are none yet
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(join(directory, path), "utf8");
  } catch {
    return undefined;
  }
}
