import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PAGES, readBlocks, readPage } from "../../support/doc_page.ts";
import { Project, ROOT } from "../../support/project.ts";
import { PROGRAM_PAGES } from "./not_run.ts";

const SOURCES = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(ROOT, "src", name), "utf8"));

/** The entry points, and their exports that are not types. */
const ENTRIES = Object.entries(
  JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).exports as Record<string, { bun: string }>,
).map(([path, { bun }]) => ({
  specifier: join("eventspool", path),
  values: valuesOf(readFileSync(join(ROOT, bun), "utf8")),
}));

function valuesOf(source: string): string[] {
  const lists = [...source.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(","));
  const listed = lists.map((item) => item.trim()).filter((item) => item !== "" && !item.startsWith("type "));
  const declared = [...source.matchAll(/^export (?:async )?(?:class|function|const) (\w+)/gm)];
  return [...listed, ...declared.map(([, name]) => name!)];
}

test("the docstring of EventStorageError has every code of the sources", () => {
  const codes = SOURCES.flatMap((text) => [...text.matchAll(/EventStorageError\(\s*"([A-Z_]+)"/g)]);
  assert.ok(codes.length > 8, `only ${codes.length} codes were found`);
  const errors = readPage("src/errors.ts");
  const text = errors.slice(errors.lastIndexOf("/**", errors.indexOf("class EventStorageError")));
  assert.deepEqual(
    codes.map(([, code]) => code!).filter((code) => !text.includes(`\`${code}\``)),
    [],
  );
});

/** The TypeScript of pages that is not a program. */
const FRAGMENTS = PAGES.filter((page) => !PROGRAM_PAGES.includes(page))
  .flatMap(readBlocks)
  .filter(({ language }) => language === "ts")
  .map(({ text }) => text);

test("the examples in docstrings and the fragments of pages compile", { timeout: 600_000 }, () => {
  const examples = [...SOURCES.flatMap(examplesOf), ...FRAGMENTS];
  assert.ok(examples.length > 12 && FRAGMENTS.length > 3, `only ${examples.length} examples were found`);
  const files = Object.fromEntries(examples.map((text, at) => [`example_${at}.ts`, withImports(text)]));
  using project = new Project({ ...files, "bun.d.ts": 'declare module "bun:sqlite";\n' });
  // Names of the surrounding service become any; then no other problem may be left.
  const missing = new Set(
    [...project.check().output.matchAll(NOT_FOUND)].map(([, file, name]) => `${file} ${name}`),
  );
  for (const [file, name] of [...missing].map((each) => each.split(" ") as [string, string]))
    files[file] += `declare const ${name}: any;\n`;
  for (const [file, text] of Object.entries(files)) project.write(file, text);
  const { output } = project.check();
  assert.match(output, /^$|error TS/, "tsc finished");
  // Parameters of callbacks of what is any are any, too.
  assert.deepEqual(output.match(/^.*example_\d+\.ts(?!.*TS70(?:06|31)).*$/gm) ?? [], []);
});

const NOT_FOUND = /^.*?(example_\d+\.ts).*error TS(?:2304|18004|2552).*?'(\w+)'/gm;

/** The blocks of TypeScript in docstrings. */
function examplesOf(source: string): string[] {
  const blocks = [...source.matchAll(/^ +\* ```ts\n([\s\S]*?)^ +\* ```$/gm)];
  return blocks.map(([, text]) => text!.replace(/^ +\* ?/gm, ""));
}

/** An example with imports of the package and of known libraries that it uses without an import. */
function withImports(text: string): string {
  const isFree = (name: string): boolean =>
    new RegExp(`(?<![.\\w"'])${name}\\b(?!\\w*["':])`).test(text) &&
    !new RegExp(`(?:import [^;]*|(?:const|using|let) )\\b${name}\\b`).test(text);
  const taken = new Set<string>();
  const imports = ENTRIES.flatMap(({ specifier, values }) => {
    const names = values.filter((name) => isFree(name) && !taken.has(name));
    for (const name of names) taken.add(name);
    return names.length === 0 ? [] : [`import { ${names.join(", ")} } from "${specifier}";`];
  });
  if (isFree("assert")) imports.push('import assert from "node:assert/strict";');
  if (isFree("Event"))
    imports.push("declare const Event: any; // a Thrift struct's class, not the global one");
  if (isFree("Hono")) imports.push('import { Hono } from "hono";');
  return `${imports.join("\n")}\n${text}\nexport {};\n`;
}
