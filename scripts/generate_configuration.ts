/**
 * Writes the tables of docs/configuration.md from the docstrings of the configuration types. A docstring that begins
 * with keys, `` `batch.max_age` (ours): how long ... Default: 1 s. ``, documents these keys, and so does each item of
 * a list in it. `--check` only fails if the page is stale.
 *
 * (`deno doc --json` reads the docstrings, because typedoc supports TypeScript up to 6 only.)
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { DENO } from "./runtimes.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGE = fileURLToPath(new URL("../docs/configuration.md", import.meta.url));

/** The parts of `deno doc`'s output for a type that are read here. */
interface TsType {
  readonly kind: string;
  readonly repr?: string;
  // Depending on the kind: types of a union, the members of a literal type, the name of a reference, a literal's value.
  readonly value?: TsType[] & { properties?: Property[]; typeName?: string; string?: string };
}

interface Property {
  readonly name: string;
  readonly jsDoc?: { readonly doc?: string };
  readonly tsType?: TsType;
}

interface Declaration {
  readonly kind: string;
  readonly jsDoc?: { readonly doc?: string };
  readonly def: { readonly properties?: Property[]; readonly tsType?: TsType; readonly extends?: TsType[] };
}

interface Row {
  readonly keys: readonly string[];
  readonly kind: string;
  readonly fallback: string;
  readonly meaning: string;
}

const DECLARATIONS = readDeclarations();

/** Kinds of values by the unit at the end of a property's name. */
const KIND_BY_NAME: readonly (readonly [RegExp, string])[] = [
  [/Ms$/, "duration"],
  [/Bytes$/, "size"],
  [/Mode$/, "file mode"],
  [/Share$/, "percentage"],
];

/** The keys that baseplate.py has, in `baseplate/sidecars/event_publisher.py` and `baseplate/lib/metrics.py`. */
const BASEPLATE_KEYS =
  /^(?:collector\.(?:hostname|version|scheme)|key\.(?:name|secret)|max_queue_size|metrics\.(?:namespace|endpoint|log_if_unconfigured|swallow_network_errors))$/;

/** A key in a docstring, or a key with its value: `` `key.NAME = BASE64` ``. */
const KEY = /`([a-z]\w*(?:\.\w+)*)(?: = [^`]*)?`/g;
/** A text that begins with code, up to the colon or the end of the sentence. */
const LEAD = /^(`[^`]*`(?:`[^`]*`|[^`:.])*?)([:.])(?:\s+|$)(.*)$/s;
const DEFAULT = /(?:^|(?<=[.;)`]\s))Default[:,]? ((?:`[^`]*`|[^`])*?)(?:\.(?=\s|$)|$)/;

const text = ["publisher", "collector"].reduce(
  (page, program) => withTable(page, program, unique(rowsOf(`${capitalized(program)}Config`))),
  readFileSync(PAGE, "utf8"),
);
const formatted = format(text);
if (!process.argv.includes("--check")) writeFileSync(PAGE, formatted);
else if (readFileSync(PAGE, "utf8") !== formatted) {
  console.error("docs/configuration.md is stale: run `bun run generate`");
  process.exit(1);
}

function readDeclarations(): Map<string, Declaration[]> {
  const names = readdirSync(`${ROOT}src/config`).map((name) => `src/config/${basename(name)}`);
  const files = [...names, "src/storage/events.ts"]; // BatchVersion
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["x", DENO, "doc", "--json", "--quiet", ...files],
    { cwd: ROOT, encoding: "utf8", maxBuffer: 2 ** 26 },
  );
  if (status !== 0) throw new Error(`deno doc ended with ${status}: ${stderr}`);
  const { nodes } = JSON.parse(stdout) as {
    nodes: Record<string, { symbols?: { name: string; declarations: Declaration[] }[] }>;
  };
  const symbols = Object.values(nodes).flatMap((module) => module.symbols ?? []);
  return new Map(symbols.map(({ name, declarations }) => [name, declarations]));
}

/** The rows of a type's keys and of its nested types, in order. */
function rowsOf(typeName: string): Row[] {
  return (DECLARATIONS.get(typeName) ?? []).flatMap(({ kind, def }) => {
    if (kind === "class") return []; // a Secret, say: a value
    const types = [...(Array.isArray(def.extends) ? def.extends : []), ...(def.tsType ? [def.tsType] : [])];
    return [...(def.properties ?? []).flatMap(rowsOfProperty), ...types.flatMap(rowsWithin)];
  });
}

function rowsOfProperty(property: Property): Row[] {
  const doc = property.jsDoc?.doc ?? "";
  const listed = [...doc.matchAll(/^- (`.*?)(?=\n- |\n\n|$(?![\s\S]))/gms)].map(([, item]) => item!);
  const rows = [doc, ...listed].flatMap((item) => rowOf(item, property));
  return [...rows, ...(property.tsType ? rowsWithin(property.tsType) : [])];
}

function rowsWithin({ kind, value }: TsType): Row[] {
  if (kind === "typeLiteral") return (value?.properties ?? []).flatMap(rowsOfProperty);
  if (kind === "union" || kind === "intersection") return (value ?? []).flatMap(rowsWithin);
  return kind === "typeRef" ? rowsOf(value?.typeName ?? "") : [];
}

function rowOf(item: string, property: Property): Row[] {
  const [, lead, , rest] = LEAD.exec(item.trim()) ?? [];
  if (lead === undefined || rest === undefined) return [];
  const keys = [...lead.matchAll(KEY)].map(([, key]) => key!);
  if (keys.length === 0) return [];
  const fallback = DEFAULT.exec(rest)?.[1] ?? "";
  const about = keys.length > 1 ? `${lead.replaceAll(" (ours)", "")}: ` : "";
  const meaning = (about + rest.replace(DEFAULT, "").trim())
    .replace(/\{@link ([\w.]+)\}/g, "`$1`")
    .replace(/, in (?:milliseconds|bytes)\b/g, "");
  return [
    {
      keys,
      kind: kindOf(keys, property),
      fallback: fallback.replace(/^`undefined`, /, ""),
      meaning: capitalized(meaning),
    },
  ];
}

function kindOf(keys: readonly string[], { name, tsType }: Property): string {
  if (keys.length === 1 && /(?:^|[._])(?:file|directory|output)$/.test(keys[0]!)) return "path";
  const byName = KIND_BY_NAME.find(([pattern]) => pattern.test(name))?.[1];
  const words = (tsType ? choicesIn(tsType) : []).map((word) => `\`${word}\``);
  const value = byName ?? kindByType(tsType ? JSON.stringify(tsType) : "");
  return words.length > 0 ? [...(value === "text" ? [] : [value]), ...words].join(" or ") : value;
}

function kindByType(type: string): string {
  if (/"boolean"/.test(type)) return "`true` or `false`";
  if (/"number"/.test(type)) return "integer";
  if (/"(?:HostPort|ListenAddress)"/.test(type)) return "address";
  return /"Secret"/.test(type) ? "secret" : "text";
}

/** The alternatives of a union type: texts, or objects that each have a `kind`. */
function choicesIn({ kind, value }: TsType): string[] {
  if (kind === "literal") return value?.string === undefined ? [] : [value.string];
  if (kind === "union") return (value ?? []).flatMap(choicesIn);
  const declarations = kind === "typeRef" ? (DECLARATIONS.get(value?.typeName ?? "") ?? []) : [];
  return declarations.flatMap(({ kind: declared, def }) => {
    const named =
      declared === "interface" ? def.properties?.find((each) => each.name === "kind")?.tsType : def.tsType;
    return named === undefined ? [] : choicesIn(named);
  });
}

/** Lists a key of several destinations once. */
function unique(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [row.keys.join(), row])).values()];
}

/** Replaces the table of a program on the page, between its two markers. */
function withTable(page: string, program: string, rows: readonly Row[]): string {
  if (rows.length < 5) throw new Error(`only ${rows.length} keys were found for the ${program}`);
  const isShared = rows.some(({ keys }) => keys.some((key) => BASEPLATE_KEYS.test(key)));
  const lines = rows.map(({ keys, kind, fallback, meaning }) => {
    const origin = keys.every((key) => BASEPLATE_KEYS.test(key)) ? "baseplate.py" : "";
    return [
      keys.map((key) => `\`${key}\``).join(", "),
      kind,
      fallback,
      meaning,
      ...(isShared ? [origin] : []),
    ];
  });
  const head = ["key", "value", "default", "meaning", ...(isShared ? ["also in"] : [])];
  const table = [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.map(cell).join(" | ")} |`);
  const [begin, end] = [`<!-- ${program}: generated -->`, `<!-- ${program}: end -->`];
  const [before, after] = [page.split(begin)[0], page.split(end)[1]];
  if (after === undefined) throw new Error(`docs/configuration.md lacks ${begin} or ${end}`);
  return `${before}${begin}\n\n${table.join("\n")}\n\n${end}${after}`;
}

function cell(text: string): string {
  return text.trim().replaceAll("\n", " ").replaceAll("|", "\\|");
}

function capitalized(text: string): string {
  return text.replace(/^[a-z]/, (letter) => letter.toUpperCase());
}

/** Formats the page with Biome, which checks all committed files. */
function format(markdown: string): string {
  const args = ["x", "biome", "format", "--stdin-file-path=docs/configuration.md"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    input: markdown,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`biome format ended with ${status}: ${stderr}`);
  return stdout;
}
