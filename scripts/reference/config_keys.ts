/**
 * The keys of the configuration file, from the docstrings of the types that it is read into. A docstring that begins
 * with keys, `` `batch.max_age` (ours): how long ... Default: 1 s. ``, is about these; so is each item of a list in it
 * that does.
 *
 * @module
 */
import type { DocModule, DocSymbol, Property } from "./deno_doc.ts";
import { resolve } from "./entry_points.ts";
import { splitDefault } from "./markdown.ts";
import { type TsType, typeText } from "./ts_type.ts";

/** One key, or several that are alternatives or belong together. */
export interface ConfigKey {
  readonly keys: readonly string[];
  /** What kind of value it takes, such as `duration`. */
  readonly kind: string;
  readonly meaning: string;
  readonly fallback: string;
}

/** Kinds of values by the end of the property's name, which is its unit. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/Ms$/, "duration"],
  [/Bytes$/, "size"],
  [/Mode$/, "file mode"],
  [/Share$/, "percentage"],
];

const PATH = /(?:^|[._])(?:file|directory|output)$/;

/** All keys of a configuration type, with those of the types that it contains, in their order. */
export function configKeysOf(type: DocSymbol, docs: ReadonlyMap<string, DocModule>): ConfigKey[] {
  return type.declarations.flatMap(({ kind, def, location }) => {
    if (kind === "class") return []; // a Secret, say: a value
    const parents = typeof def.extends === "string" ? [] : (def.extends ?? []);
    const types = def.tsType === undefined ? parents : [...parents, def.tsType];
    return [
      ...(def.properties ?? []).flatMap((property) => keysOf(property, location.filename, docs)),
      ...types.flatMap((each) => keysWithin(each, location.filename, docs)),
    ];
  });
}

function keysOf(property: Property, file: string, docs: ReadonlyMap<string, DocModule>): ConfigKey[] {
  const items = itemsOf(property.jsDoc?.doc ?? "");
  const within = property.tsType === undefined ? [] : keysWithin(property.tsType, file, docs);
  const choices = property.tsType === undefined ? [] : choicesIn(property.tsType, file, docs);
  return [...items.map((item) => configKey(item, property, choices)), ...within];
}

function keysWithin(type: TsType, file: string, docs: ReadonlyMap<string, DocModule>): ConfigKey[] {
  switch (type.kind) {
    case "typeLiteral":
      return (type.value.properties ?? []).flatMap((property) => keysOf(property, file, docs));
    case "union":
    case "intersection":
      return type.value.flatMap((each) => keysWithin(each, file, docs));
    case "typeRef": {
      const symbol = resolve(type.value, file, docs);
      return symbol === undefined ? [] : configKeysOf(symbol, docs);
    }
    default:
      return [];
  }
}

/** The words of a type that is one of several: texts, or objects of which each names its `kind`. */
function choicesIn(type: TsType, file: string, docs: ReadonlyMap<string, DocModule>): string[] {
  if (type.kind === "literal") return type.value.string === undefined ? [] : [type.value.string];
  if (type.kind === "union") return type.value.flatMap((each) => choicesIn(each, file, docs));
  const symbol = type.kind === "typeRef" ? resolve(type.value, file, docs) : undefined;
  return (symbol?.declarations ?? []).flatMap(({ kind, def, location }) => {
    const named =
      kind === "interface" ? def.properties?.find(({ name }) => name === "kind")?.tsType : def.tsType;
    return named === undefined ? [] : choicesIn(named, location.filename, docs);
  });
}

interface Item {
  readonly keys: readonly string[];
  readonly lead: string;
  readonly text: string;
}

/** A key in a docstring, or a key with its value: `` `key.NAME = BASE64` ``. */
const KEY = /`([a-z]\w*(?:\.\w+)*)(?: = [^`]*)?`/g;
/** What begins with code: all that stands before the colon or the end of the sentence. */
const LEAD = /^(`[^`]*`(?:`[^`]*`|[^`:.])*?)([:.])(?:\s+|$)(.*)$/s;

function itemsOf(doc: string): Item[] {
  const listed = [...doc.matchAll(/^- (`.*?)(?=\n- |\n\n|$(?![\s\S]))/gms)].map(([, text]) => text!);
  return [doc, ...listed].flatMap((text) => {
    const [, lead, , rest] = LEAD.exec(text.trim()) ?? [];
    if (lead === undefined || rest === undefined) return [];
    const keys = [...lead.matchAll(KEY)].map(([, key]) => key!);
    return keys.length === 0 ? [] : [{ keys, lead, text: rest }];
  });
}

function configKey({ keys, lead, text }: Item, property: Property, choices: readonly string[]): ConfigKey {
  const { meaning, fallback } = splitDefault(text);
  const isPath = keys.length === 1 && PATH.test(keys[0]!);
  return {
    keys,
    kind: isPath ? "path" : kindOf(property, choices),
    meaning: capitalized(withoutUnit(aboutSeveral(lead, keys) + meaning)),
    fallback: fallback.replace(/^`undefined`, /, ""),
  };
}

/** What the words between several keys say of them stays. */
function aboutSeveral(lead: string, keys: readonly string[]): string {
  return keys.length > 1 ? `${lead.replaceAll(" (ours)", "")}: ` : "";
}

/** The unit of the property, which in the file the value has with it. */
function withoutUnit(text: string): string {
  return text.replace(/, in (?:milliseconds|bytes)\b/g, "").replaceAll("\n", " ");
}

function capitalized(text: string): string {
  return text.replace(/^[a-z]/, (letter) => letter.toUpperCase());
}

function kindOf({ name, tsType }: Property, choices: readonly string[]): string {
  const byName = KINDS.find(([pattern]) => pattern.test(name))?.[1];
  const type = tsType === undefined ? "" : typeText(tsType);
  const words = choices.map((word) => `\`${word}\``);
  const value = byName ?? kindByType(type);
  return words.length > 0 ? [...(value === "text" ? [] : [value]), ...words].join(" or ") : value;
}

function kindByType(type: string): string {
  if (/\bboolean\b/.test(type)) return "`true` or `false`";
  if (/\bnumber\b/.test(type)) return "whole number";
  if (/\b(?:HostPort|ListenAddress)\b/.test(type)) return "address";
  return /\bSecret\b/.test(type) ? "secret" : "text";
}
