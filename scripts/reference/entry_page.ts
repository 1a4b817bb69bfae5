/**
 * The page of one entry point.
 *
 * @module
 */
import type { DocSymbol } from "./deno_doc.ts";
import type { EntryPoint } from "./entry_points.ts";
import type { Links } from "./links.ts";
import { firstSentence, paragraphs, table } from "./markdown.ts";
import { docText, symbolSection, type Writer } from "./symbol_section.ts";

/** The first line of every generated page. */
export const GENERATED =
  "<!-- Generated from the docstrings by scripts/generate_reference.ts. Do not edit: `bun run generate`. -->";

/** The groups of a page, in order. */
const GROUPS = ["Classes", "Functions", "Errors", "Constants", "Types"];

/** The page, as Markdown. */
export function entryPage(entry: EntryPoint, writer: Writer): string {
  const { specifier, page, doc, symbols, borrowed, further } = entry;
  const groups = GROUPS.map((group) => [group, inGroup(symbols, group)] as const);
  const section = (symbol: DocSymbol): string => symbolSection(symbol, page, writer);
  return paragraphs(
    GENERATED,
    `# ${specifier}`,
    docText(doc, { page }, writer.links),
    contents(
      page,
      groups.flatMap(([, members]) => members),
      writer.links,
    ),
    borrowedText(page, borrowed, writer.links),
    ...groups.flatMap(([group, members]) =>
      members.length === 0 ? [] : [`## ${group}`, ...members.map(section)],
    ),
    ...(further.length === 0
      ? []
      : [
          "## Further types",
          "Not exported by name; the types above refer to them.",
          ...further.map(section),
        ]),
  );
}

function inGroup(symbols: readonly DocSymbol[], group: string): DocSymbol[] {
  return symbols
    .filter((symbol) => groupOf(symbol) === group)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .sort((a, b) => Number(isBaseError(b)) - Number(isBaseError(a)));
}

function groupOf({ name, declarations }: DocSymbol): string {
  const kind = declarations[0]?.kind;
  if (kind === "class") return name.endsWith("Error") ? "Errors" : "Classes";
  if (kind === "function") return "Functions";
  return kind === "variable" ? "Constants" : "Types";
}

/** The class of all errors comes before them. */
function isBaseError({ declarations }: DocSymbol): boolean {
  return declarations[0]?.def.extends === "Error";
}

function contents(page: string, symbols: readonly DocSymbol[], links: Links): string | undefined {
  if (symbols.length === 0) return undefined;
  return table(
    ["export", "what it is"],
    symbols.map((symbol) => [links.code(symbol.name, { page }), summaryOf(symbol, page, links)]),
  );
}

/** The first sentence of its docstring. */
function summaryOf({ declarations }: DocSymbol, page: string, links: Links): string {
  const { jsDoc } = declarations.find((declaration) => declaration.jsDoc !== undefined) ?? {};
  return links.text(firstSentence(jsDoc?.doc ?? ""), { page });
}

function borrowedText(page: string, borrowed: readonly DocSymbol[], links: Links): string | undefined {
  if (borrowed.length === 0) return undefined;
  const names = borrowed.map(({ name }) => links.code(name, { page }));
  return `Exported here too: ${names.sort().join(", ")}.`;
}
