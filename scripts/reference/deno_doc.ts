/**
 * What `deno doc --json` tells of the sources: their exports, types and docstrings. typedoc would, too, but knows no
 * TypeScript above 6.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { DENO } from "../runtimes.ts";
import type { TsType, TypeParam } from "./ts_type.ts";

/** A tag of a docstring, such as `@throws`. */
export interface DocTag {
  readonly kind: string;
  readonly name?: string;
  readonly doc?: string;
  readonly tsType?: TsType;
}

/** A docstring. */
export interface JsDoc {
  readonly doc?: string;
  readonly tags?: readonly DocTag[];
}

/** A parameter; one that is taken apart has no name. */
export interface Param {
  readonly kind: string;
  readonly name?: string;
  readonly optional?: boolean;
  readonly tsType?: TsType;
  /** The parameter itself, where it has a default. */
  readonly left?: Param;
  /** The parameter itself, where it is the rest of all. */
  readonly arg?: Param;
}

/** What a function takes and gives. */
export interface Signature {
  readonly params: readonly Param[];
  readonly returnType?: TsType;
  readonly typeParams?: readonly TypeParam[];
}

/** A property of a class, an interface or an object type. */
export interface Property {
  readonly name: string;
  readonly jsDoc?: JsDoc;
  readonly readonly?: boolean;
  readonly optional?: boolean;
  readonly isStatic?: boolean;
  readonly accessibility?: string;
  readonly tsType?: TsType;
}

/** A method: of a class, which has its signature apart, or of an interface. */
export interface Method extends Partial<Signature> {
  readonly name: string;
  readonly kind?: string;
  readonly jsDoc?: JsDoc;
  readonly optional?: boolean;
  readonly isStatic?: boolean;
  readonly accessibility?: string;
  readonly functionDef?: Signature;
}

/** A constructor of a class. */
export interface Constructor {
  readonly jsDoc?: JsDoc;
  readonly accessibility?: string;
  readonly hasBody?: boolean;
  readonly params: readonly Param[];
}

/** What a declaration declares; which parts there are, its kind tells. */
export interface Definition extends Partial<Signature> {
  readonly constructors?: readonly Constructor[];
  readonly properties?: readonly Property[];
  readonly methods?: readonly Method[];
  readonly callSignatures?: readonly Signature[];
  readonly indexSignatures?: readonly { readonly params: readonly Param[]; readonly tsType?: TsType }[];
  /** Of a class a name, of an interface types. */
  readonly extends?: string | readonly TsType[];
  readonly superTypeParams?: readonly TsType[];
  readonly implements?: readonly TsType[];
  readonly tsType?: TsType;
  /** Of a name that is exported from another file. */
  readonly target?: Location;
}

interface Location {
  readonly filename: string;
  readonly byteIndex: number;
}

/** One declaration of a name; an overloaded function has several. */
export interface Declaration {
  readonly location: Location;
  readonly kind: string;
  readonly jsDoc?: JsDoc;
  readonly def: Definition;
}

/** A name that a file exports, or that one of its exports refers to. */
export interface DocSymbol {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

/** A source file. */
export interface DocModule {
  /** What the docstring with `@module` says. */
  readonly doc: JsDoc;
  readonly symbols: readonly DocSymbol[];
}

/** What deno doc prints, with the files' paths from the root. */
interface DenoDoc {
  readonly nodes: Readonly<
    Record<string, { readonly module_doc?: JsDoc; readonly symbols?: readonly DocSymbol[] }>
  >;
}

/** The docs of all files of `src`, by their path from `root`, such as `src/mod.ts`; so are their locations. */
export function readDocs(root: string): ReadonlyMap<string, DocModule> {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".generated.ts"))
    .map((name) => join("src", name));
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["x", DENO, "doc", "--json", "--quiet", ...files.sort()],
    { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28, env: { ...process.env, NO_COLOR: "1" } },
  );
  if (status !== 0) throw new Error(`deno doc ended with ${status}: ${stderr}`);
  return modulesOf(JSON.parse(stdout.replaceAll(pathToFileURL(join(root, "/")).href, "")), (file) =>
    readFileSync(join(root, file), "utf8"),
  );
}

/**
 * The modules by their files. What a file exports from another is put in the place of the reference to it, and what
 * deno doc leaves out is taken from the sources: that a class is exported as a type only, and the type of a constant
 * that is a function.
 */
function modulesOf({ nodes }: DenoDoc, sourceOf: (file: string) => string): Map<string, DocModule> {
  const symbolsOf = (file: string): readonly DocSymbol[] => nodes[file]?.symbols ?? [];
  const declared = ({ name, declarations }: DocSymbol): DocSymbol => {
    const target = declarations[0]?.def.target;
    if (target === undefined)
      return { name, declarations: declarations.map((each) => typedConstant(name, each, sourceOf)) };
    const isIt = ({ location }: Declaration): boolean => location.byteIndex === target.byteIndex;
    const found = symbolsOf(target.filename).find((symbol) => symbol.declarations.some(isIt));
    if (found === undefined)
      throw new Error(`${name} is exported from ${target.filename}, which has no docs of it`);
    return { ...declared(found), name };
  };
  return new Map(
    Object.entries(nodes).map(([file, { module_doc = {} }]) => {
      const typesOnly = typeExportsOf(sourceOf(file));
      const symbols = symbolsOf(file)
        .map(declared)
        .map((symbol) => (typesOnly.has(symbol.name) ? withoutConstructors(symbol) : symbol));
      return [file, { doc: module_doc, symbols }];
    }),
  );
}

/** The names in `export type { ... } from`. */
function typeExportsOf(source: string): Set<string> {
  const lists = [...source.matchAll(/^export type \{([^}]*)\}/gm)];
  const names = lists.flatMap(([, list]) => list!.split(","));
  return new Set(names.map((name) => name.trim().split(" as ").at(-1)!));
}

/** Nobody who has a class as a type only can make one. */
function withoutConstructors({ name, declarations }: DocSymbol): DocSymbol {
  return {
    name,
    declarations: declarations.map((each) =>
      each.kind === "class" ? { ...each, def: { ...each.def, constructors: [] } } : each,
    ),
  };
}

/** Of `const accept: Script = () => ...` deno doc tells what the function takes, and not that it is a Script. */
function typedConstant(
  name: string,
  declaration: Declaration,
  sourceOf: (file: string) => string,
): Declaration {
  const { kind, def, location } = declaration;
  if (kind !== "function" || def.returnType !== undefined) return declaration;
  const pattern = new RegExp(`^export const ${name}: ([\\w.<>, ]+) = `, "m");
  const [, type] = pattern.exec(sourceOf(location.filename)) ?? [];
  if (type === undefined) return declaration;
  return { ...declaration, kind: "variable", def: { tsType: { kind: "keyword", value: type } } };
}
