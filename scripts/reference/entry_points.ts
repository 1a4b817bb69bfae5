/**
 * The entry points of the package, and which page describes which name.
 *
 * @module
 */
import { posix } from "node:path";
import type { DocModule, DocSymbol, JsDoc } from "./deno_doc.ts";

/** What `exports` of package.json says. */
export type PackageExports = Readonly<Record<string, { readonly bun: string }>>;

/** One entry point, and what its page describes. */
export interface EntryPoint {
  /** What is imported: `eventspool/thrift`. */
  readonly specifier: string;
  /** The page's file: `thrift.md`. */
  readonly page: string;
  readonly doc: JsDoc;
  /** Its exports. */
  readonly symbols: readonly DocSymbol[];
  /** Those that the page of an entry point before it describes. */
  readonly borrowed: readonly DocSymbol[];
  /** Types that are not exported, but that those which are refer to. */
  readonly further: readonly DocSymbol[];
}

/** A symbol by where it is declared: the same for all that export it. */
type Key = string;

/** The entry points in the order of package.json; each name is described once, at the first that exports it. */
export function entryPointsOf(
  exports: PackageExports,
  docs: ReadonlyMap<string, DocModule>,
  packageName: string,
): EntryPoint[] {
  const modules = Object.entries(exports).map(([path, { bun }]) => {
    const module = docs.get(posix.normalize(bun));
    if (module === undefined) throw new Error(`${bun}, an export of package.json, is no file of src`);
    return { specifier: posix.join(packageName, path), module };
  });
  const isTaken = new Set<Key>();
  const owned = modules.map(({ module }) => module.symbols.filter((symbol) => claim(keyOf(symbol), isTaken)));
  return modules.map(({ specifier, module }, at) => ({
    specifier,
    page: `${posix.basename(specifier)}.md`,
    doc: module.doc,
    symbols: owned[at]!,
    borrowed: module.symbols.filter((symbol) => !owned[at]!.includes(symbol)),
    further: furtherOf(owned[at]!, docs, isTaken),
  }));
}

function claim(key: Key, isTaken: Set<Key>): boolean {
  if (isTaken.has(key)) return false;
  isTaken.add(key);
  return true;
}

function keyOf({ name, declarations }: DocSymbol): Key {
  return `${declarations[0]?.location.filename}#${name}`;
}

/** What `symbols` refer to, directly or not, that is not described yet. */
function furtherOf(
  symbols: readonly DocSymbol[],
  docs: ReadonlyMap<string, DocModule>,
  isTaken: Set<Key>,
): DocSymbol[] {
  const found: DocSymbol[] = [];
  const open = [...symbols];
  for (let symbol = open.shift(); symbol !== undefined; symbol = open.shift()) {
    for (const target of referencesOf(symbol, docs)) {
      if (!claim(keyOf(target), isTaken)) continue;
      if (!isParentOf(symbol, target)) found.push(target);
      open.push(target);
    }
  }
  return found;
}

/** The table of an interface has the members of those that it extends, too. */
function isParentOf({ declarations }: DocSymbol, { name }: DocSymbol): boolean {
  return declarations.some(
    ({ def }) =>
      typeof def.extends === "object" &&
      def.extends.some((parent) => parent.kind === "typeRef" && parent.value.typeName === name),
  );
}

/** The symbols of `src` whose types stand in a symbol's public declarations. */
function referencesOf(symbol: DocSymbol, docs: ReadonlyMap<string, DocModule>): DocSymbol[] {
  return symbol.declarations.flatMap(({ def, location }) =>
    [...refsIn(def)].flatMap((ref) => resolve(ref, location.filename, docs) ?? []),
  );
}

interface Ref {
  readonly typeName: string;
  readonly resolution?: { readonly kind: string; readonly specifier?: string; readonly name?: string };
}

function* refsIn(value: unknown): Generator<Ref> {
  if (typeof value !== "object" || value === null) return;
  if ("accessibility" in value && value.accessibility === "private") return;
  if ("kind" in value && value.kind === "typeRef" && "value" in value) yield value.value as Ref;
  for (const [key, member] of Object.entries(value)) if (key !== "jsDoc") yield* refsIn(member);
}

/** The symbol of `src` that a type's name in `file` stands for; none for a type parameter, or one of a library. */
export function resolve(
  { typeName, resolution }: Ref,
  file: string,
  docs: ReadonlyMap<string, DocModule>,
): DocSymbol | undefined {
  if (resolution?.kind === "local") return docs.get(file)?.symbols.find(({ name }) => name === typeName);
  if (resolution?.kind !== "import" || !resolution.specifier?.startsWith(".")) return undefined;
  const from = posix.join(posix.dirname(file), resolution.specifier);
  return docs.get(from)?.symbols.find(({ name }) => name === resolution.name);
}
