import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { readBlocks, readPage } from "../../support/doc_page.ts";
import { Project, ROOT } from "../../support/project.ts";

const CONFIGURATION = "docs/reference/configuration.md";

interface Entry {
  readonly specifier: string;
  readonly page: string;
  readonly names: readonly string[];
  /** Those of them that are not types. */
  readonly values: readonly string[];
}

/** The entry points, with what their sources say that they export. */
const ENTRIES: readonly Entry[] = Object.entries(
  JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).exports as Record<string, { bun: string }>,
).map(([path, { bun }]) => {
  const specifier = join("eventspool", path);
  const exported = exportsOf(readFileSync(join(ROOT, bun), "utf8"));
  return {
    specifier,
    page: `docs/reference/${basename(specifier)}.md`,
    names: exported.map(({ name }) => name),
    values: exported.filter(({ isType }) => !isType).map(({ name }) => name),
  };
});

function exportsOf(source: string): { name: string; isType: boolean }[] {
  const lists = [...source.matchAll(/^export (type )?\{([^}]*)\}/gm)].flatMap(([, type, list]) =>
    list!
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "")
      .map((item) => ({
        name: item.split(/\s+/).at(-1)!,
        isType: type !== undefined || item.startsWith("type "),
      })),
  );
  const declared = [
    ...source.matchAll(/^export (?:async )?(class|function|const|interface|type) (\w+)/gm),
  ].map(([, kind, name]) => ({ name: name!, isType: kind === "interface" || kind === "type" }));
  return [...lists, ...declared];
}

test("has a page for each entry point, and on it, or on the one it links to, each of its exports", () => {
  assert.ok(ENTRIES.length >= 8);
  for (const { specifier, page, names } of ENTRIES) {
    const text = readPage(page);
    assert.ok(text.includes(`\n# ${specifier}\n`), page);
    assert.ok(names.length > 0, `${specifier} exports nothing that was found`);
    const described = (name: string): boolean =>
      text.includes(`\n### ${name}\n`) || new RegExp(`\\[\`${name}\`\\]\\(\\w+\\.md#`).test(text);
    assert.deepEqual(
      names.filter((name) => !described(name)),
      [],
      page,
    );
  }
});

test("has a page for nothing else", () => {
  const pages = readdirSync(join(ROOT, "docs/reference")).map((name) => `docs/reference/${name}`);
  assert.deepEqual(pages.sort(), [...ENTRIES.map(({ page }) => page), CONFIGURATION].sort());
});

test("says what every export is", () => {
  for (const { page } of ENTRIES) {
    const [text = ""] = readPage(page).split("\n## Further types\n");
    const silent = [...text.matchAll(/^### (\w+)\n\n```ts\n(?:(?!```).)*```\s*(?=[#|]|$(?![\s\S]))/gms)];
    assert.deepEqual(
      silent.map(([, name]) => `${page}: ${name}`),
      [],
    );
  }
});

test("has every code that the sources give to an EventStorageError", () => {
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(ROOT, "src", name), "utf8"));
  const codes = sources.flatMap((text) => [...text.matchAll(/EventStorageError\(\s*"([A-Z_]+)"/g)]);
  assert.ok(codes.length > 8, `only ${codes.length} codes were found`);
  const [, section = ""] = readPage("docs/reference/eventspool.md").split("\n### EventStorageError\n");
  const text = section.split("\n### ")[0]!;
  assert.deepEqual(
    codes.map(([, code]) => code!).filter((code) => !text.includes(`\`${code}\``)),
    [],
  );
});

/** The rows of keys: the keys of each, and its default. */
const ROWS = [
  ...readPage(CONFIGURATION).matchAll(/^\| (`[a-z][^|]*?) +\| (?:[^|]*) \| ([^|]*?) +\| (?:[^|]*) \|/gm),
].map(([, keys, fallback]) => ({
  keys: [...keys!.matchAll(/`([^`]+)`/g)].map(([, key]) => key!),
  fallback: fallback!,
}));

test("has every key that the sources of the configuration read", () => {
  const sources = readdirSync(join(ROOT, "src/config")).map((name) =>
    readFileSync(join(ROOT, "src/config", name), "utf8"),
  );
  const read = sources.flatMap((text) => [
    ...text.matchAll(/(?:\.read|\.has|\breadSecret)(?:<[^>]*>)?\(\s*(?:section,\s*)?"([\w.]+)"/g),
  ]);
  assert.ok(read.length > 20, `only ${read.length} keys were found`);
  const there = ROWS.flatMap(({ keys }) => keys);
  assert.deepEqual(
    read.map(([, key]) => key!).filter((key) => !there.includes(key)),
    [],
  );
  assert.ok(there.includes("key.NAME"), "the keys of the collector, which have names of their own");
});

const REQUIRED =
  "[event-publisher:main]\ncollector.hostname = localhost\nkey.name = a\nkey.secret = c2VjcmV0\n";

test("has the publisher's defaults as the code has them", () => {
  const { warnings: _, ...without } = parsePublisherConfig(REQUIRED);
  const shown = ROWS.flatMap(({ keys, fallback }) => {
    const value = writtenValue(fallback);
    return keys.length === 1 && keys[0]!.match(/\.|_/) && value !== undefined
      ? [[keys[0]!, value] as const]
      : [];
  });
  assert.ok(shown.length > 10, `only ${shown.length} defaults were found`);
  for (const [key, value] of shown) {
    const { warnings: __, ...set } = parsePublisherConfig(`${REQUIRED}${key} = ${value}\n`);
    assert.deepEqual(set, without, `${key} = ${value}`);
  }
});

/** A default as it is written in a file, if it is a value: `512000` for `512,000`, `10s` for `10 s, since ...`. */
function writtenValue(fallback: string): string | undefined {
  const [first = ""] = fallback.replace(/(?<=\d),(?=\d)/g, "").split(",");
  const text = first.replaceAll("`", "").replace(/(?<=\d) (?=[a-zA-Z%])/, "");
  return /^(?:[\w.:%]*\d[\w.:%]*|true|false)$/.test(text) ? text : undefined;
}

test("has examples that compile, with what they take for granted", { timeout: 120_000 }, () => {
  const examples = ENTRIES.flatMap(({ page }) => examplesOf(page));
  assert.ok(examples.length > 8, `only ${examples.length} examples were found`);
  const files = Object.fromEntries(examples.map((text, at) => [`example_${at}.ts`, withImports(text)]));
  using project = new Project({ ...files, "bun.d.ts": 'declare module "bun:sqlite";\n' });
  // The names of the service around an example are any; no other problem may be left then.
  const missing = new Set(
    [...project.check().output.matchAll(NOT_FOUND)].map(([, file, name]) => `${file} ${name}`),
  );
  for (const [file, name] of [...missing].map((each) => each.split(" ") as [string, string]))
    files[file] += `declare const ${name}: any;\n`;
  for (const [file, text] of Object.entries(files)) project.write(file, text);
  const { output } = project.check();
  assert.match(output, /^$|error TS/, "tsc came to its end");
  assert.deepEqual(output.match(/^.*example_\d+\.ts.*$/gm) ?? [], []);
});

const NOT_FOUND = /^.*?(example_\d+\.ts).*error TS(?:2304|18004|2552).*?'(\w+)'/gm;

/** The blocks that follow no heading: those that do are declarations. */
function examplesOf(page: string): string[] {
  const lines = readPage(page).split("\n");
  return readBlocks(page)
    .filter(({ line }) => !lines[line - 3]!.startsWith("###"))
    .map(({ text }) => text);
}

/** An example with what it uses of the package and of the libraries that its readers know, and does not import. */
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
