/**
 * All pages of the reference.
 *
 * @module
 */
import { configPage } from "./config_page.ts";
import type { Declaration, DocModule, Property } from "./deno_doc.ts";
import { entryPage } from "./entry_page.ts";
import { type EntryPoint, entryPointsOf, type PackageExports, resolve } from "./entry_points.ts";
import { Links } from "./links.ts";
import { firstSentence } from "./markdown.ts";

/** What the pages are made from. */
export interface Source {
  readonly name: string;
  readonly exports: PackageExports;
  readonly docs: ReadonlyMap<string, DocModule>;
}

/** The pages by their file names in docs/reference, and the lines of docs/README.md that lead to them. */
export interface Reference {
  readonly pages: ReadonlyMap<string, string>;
  readonly index: string;
}

/** Writes the whole reference. */
export function referenceOf({ name, exports, docs }: Source): Reference {
  const entries = entryPointsOf(exports, docs, name);
  const links = new Links(entries);
  const writer = { links, inheritedOf: (declaration: Declaration) => inheritedOf(declaration, docs) };
  const pages = entries.map((entry): [string, string] => [entry.page, entryPage(entry, writer)]);
  return {
    pages: new Map([...pages, ["configuration.md", configPage(docs, links)]]),
    index: indexOf(entries),
  };
}

function inheritedOf({ def, location }: Declaration, docs: ReadonlyMap<string, DocModule>): Property[] {
  const parents = typeof def.extends === "string" ? [] : (def.extends ?? []);
  return parents.flatMap((parent) => {
    const symbol = parent.kind === "typeRef" ? resolve(parent.value, location.filename, docs) : undefined;
    return (symbol?.declarations ?? []).flatMap((each) => [
      ...inheritedOf(each, docs),
      ...(each.def.properties ?? []),
    ]);
  });
}

function indexOf(entries: readonly EntryPoint[]): string {
  const lines = entries.map(
    ({ specifier, page, doc }) => `- [\`${specifier}\`](reference/${page}): ${aboutOf(doc.doc ?? "")}`,
  );
  return ["- [Configuration, key by key](reference/configuration.md)", ...lines].join("\n");
}

/** What an entry point is for, as the end of a line. */
function aboutOf(doc: string): string {
  const sentence = firstSentence(doc.replace(/^\w+: /, ""));
  return /^[A-Z](?:[a-z]| )/.test(sentence) ? sentence[0]!.toLowerCase() + sentence.slice(1) : sentence;
}
