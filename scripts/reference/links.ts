/**
 * Links to what the pages describe.
 *
 * @module
 */
import type { DocSymbol } from "./deno_doc.ts";
import type { EntryPoint } from "./entry_points.ts";
import { anchorOf } from "./markdown.ts";

/** Where a text stands: its page, and the class or interface that it is about, if any. */
export interface Scope {
  readonly page: string;
  readonly owner?: string;
}

/** Every name that has a heading, by its page. */
export class Links {
  /** The pages that describe a name: two types that are not exported may have the same. */
  readonly #pages = new Map<string, string[]>();

  constructor(entries: readonly EntryPoint[]) {
    for (const { page, symbols, further } of entries)
      for (const symbol of [...symbols, ...further])
        for (const name of headingsOf(symbol))
          this.#pages.set(name, [...(this.#pages.get(name) ?? []), page]);
  }

  /** Where a name is described, as a link's target; undefined if nowhere. */
  target(name: string, { page, owner }: Scope): string | undefined {
    const found = [`${owner}.${name}`, name].find((each) => this.#pages.has(each));
    if (found === undefined) return undefined;
    const pages = this.#pages.get(found)!;
    const file = pages.includes(page) ? "" : pages[0];
    return `${file}#${anchorOf(found)}`;
  }

  /** A name as code, with a link where it is described. */
  code(name: string, scope: Scope): string {
    const target = this.target(name, scope);
    return target === undefined ? `\`${name}\`` : `[\`${name}\`](${target})`;
  }

  /** A docstring's text, with its `{@link NAME}` as links. */
  text(markdown: string | undefined, scope: Scope): string {
    return (markdown ?? "")
      .replace(/\{@link(?:code)?\s+([\w.#]+)(?:\s*\|?\s*[^}]*)?\}/g, (_, name: string) =>
        this.code(name, scope),
      )
      .trim();
  }

  /** A text of a `@throws` tag: an error that it begins with is a link. */
  errorText(markdown: string | undefined, scope: Scope): string {
    return this.text(markdown, scope).replace(/^([A-Z]\w*(?:Error|Exception))\b/, (name) =>
      this.code(name, scope),
    );
  }
}

/** The names that have a heading: the symbol's, and those of the methods of a class. */
function headingsOf({ name, declarations }: DocSymbol): string[] {
  const methods = declarations.flatMap(({ kind, def }) => (kind === "class" ? (def.methods ?? []) : []));
  const described = methods.filter(({ kind, jsDoc }) => kind !== "getter" && jsDoc !== undefined);
  return [name, ...described.map((method) => `${name}.${method.name}`)];
}
