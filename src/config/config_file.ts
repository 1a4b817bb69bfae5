import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import { parse, TomlError, type TomlTable, type TomlValue } from "smol-toml";
import { ConfigurationError, type ConfigurationLocation } from "../errors.ts";
import { ConfigSection, type Env, processEnv, type Setting } from "./config_section.ts";
import { type IniSection, parseIni } from "./ini.ts";

/** How a configuration file is written. */
export type ConfigFormat = "ini" | "toml";

/** A configuration file's text, and how to read it. */
export interface ConfigText {
  readonly text: string;
  readonly format: ConfigFormat;
  /** The file's name, for messages. */
  readonly file: string;
  /** The file's mode when others than its owner can read it. */
  readonly openMode: number | undefined;
}

/** How a configuration text is read. */
export interface ParseOptions {
  /** How the text is written. Default: `ini`. */
  readonly format?: ConfigFormat;
  /** The file's name, for messages. */
  readonly file?: string;
  /** The file's mode when others than its owner can read it: a warning where it holds a secret. */
  readonly openMode?: number | undefined;
  /** Where `$NAME` and `${NAME}` come from. Default: the environment of this process. */
  readonly env?: Env;
}

/** A section's name in its parts: `[event-publisher:main]` in INI, `[event-publisher.main]` in TOML. */
type SectionName = readonly [kind: string, name?: string];

const MAX_LISTED_SECTIONS = 10;

/**
 * Reads a configuration file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} if there is no such file, it cannot be read, or is not UTF-8.
 */
export function readConfigFile(path: string): ConfigText {
  const format = path.toLowerCase().endsWith(".toml") ? "toml" : "ini";
  return { text: decode(readBytes(path), path), format, file: path, openMode: openModeOf(path) };
}

/**
 * Finds a section in a configuration text.
 *
 * @throws {ConfigurationError} if the text is not valid INI or TOML, or has no such section; it then
 * names the sections that are there.
 */
export function openSection(text: string, name: SectionName, options: ParseOptions): ConfigSection {
  const { format = "ini", file, openMode, env = processEnv() } = options;
  const section = format === "ini" ? name.join(":") : tomlName(name);
  const place = file === undefined ? { section } : { file, section };
  const settings = format === "ini" ? iniSettings(text, place) : tomlSettings(text, name, place);
  return new ConfigSection(settings, { place, env, openMode });
}

type SectionPlace = ConfigurationLocation & { readonly section: string };

function iniSettings(text: string, place: SectionPlace): Map<string, Setting> {
  const { defaults, sections } = parseIni(text, place);
  const own = sections.get(place.section);
  if (own === undefined) throw missingSection(place, [...sections.keys()]);
  return new Map([...settingsOf(defaults, true), ...settingsOf(own, false)]);
}

function settingsOf(options: IniSection, isInherited: boolean): [string, Setting][] {
  return [...options].map(([key, option]) => [key, { ...option, isInherited }]);
}

function tomlSettings(text: string, name: SectionName, place: SectionPlace): Map<string, Setting> {
  const root = parseToml(text, place);
  const path = name.filter((part) => part !== undefined);
  const table = tableAt(root, path);
  if (table === undefined) {
    const siblings = path.length > 1 ? tableNames(tableAt(root, path.slice(0, -1)) ?? {}) : [];
    const others = tableNames(root).filter((other) => siblings.length === 0 || other !== path[0]);
    const names = [
      ...siblings.map((sibling) => tomlName([path[0], sibling])),
      ...others.map((other) => tomlName([other])),
    ];
    throw missingSection(place, names, needsQuotes(root, path) ? quotesMissing(path) : "");
  }
  const texts = placed(place, () => flattenTable(table));
  return new Map([...texts].map(([key, value]) => [key, { name: key, value, isInherited: false }]));
}

function placed<T>(place: ConfigurationLocation, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(error.problem, { ...place, ...error.location });
  }
}

/** A table's name as TOML has it: a part with a dot in it is quoted. */
function tomlName(parts: readonly (string | undefined)[]): string {
  return parts
    .filter((part) => part !== undefined)
    .map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part)))
    .join(".");
}

/** Whether the file has `[event-publisher.a.b]` where the queue `a.b` is looked for. */
function needsQuotes(root: TomlTable, path: readonly string[]): boolean {
  const parts = path.flatMap((part) => part.split("."));
  return parts.length > path.length && tableAt(root, parts) !== undefined;
}

function quotesMissing(path: readonly string[]): string {
  const unquoted = path.join(".");
  return `; [${unquoted}] is a table in a table: a name with a dot needs quotes, [${tomlName(path)}]`;
}

function missingSection(
  place: ConfigurationLocation,
  names: readonly string[],
  hint: string = "",
): ConfigurationError {
  const listed = names.slice(0, MAX_LISTED_SECTIONS).map((name) => `[${name}]`);
  if (names.length > listed.length) listed.push("...");
  const found = listed.length === 0 ? "it has no sections" : `it has ${listed.join(", ")}`;
  return new ConfigurationError(`the file has no such section: ${found}${hint}`, place);
}

const READ_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "permission denied",
};

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const problem = `cannot read the configuration: ${READ_PROBLEMS[code] ?? message}`;
    throw new ConfigurationError(problem, { file }, { cause });
  }
}

/** Its group is no other when this process is not the owner and can read it only so. */
function openModeOf(file: string): number | undefined {
  const { mode, uid } = statSync(file);
  const isOwner = uid === process.getuid?.();
  const isOpen = (mode & 0o004) !== 0 || (isOwner && (mode & 0o040) !== 0);
  return isOpen ? mode & 0o777 : undefined;
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ConfigurationError("the configuration is not UTF-8 text", { file });
  }
}

export type { TomlTable };

/** Keys are two names deep (`collector.hostname`); what is deeper than this is no configuration. */
const MAX_DEPTH = 8;

/**
 * Reads TOML text.
 *
 * @throws {ConfigurationError} with line and column where the text is not TOML. Only what the parser
 * says is kept, not its excerpt of the file: that could show a secret.
 */
export function parseToml(text: string, options: { readonly file?: string } = {}): TomlTable {
  const file = options.file === undefined ? {} : { file: options.file };
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ""] = error.message.replace("Invalid TOML document: ", "").split("\n");
    throw new ConfigurationError(`column ${error.column}: not valid TOML: ${what}`, {
      ...file,
      line: error.line,
    });
  }
}

/** The table at a path of names, if there is one. */
export function tableAt(root: TomlTable, path: readonly string[]): TomlTable | undefined {
  let table: TomlTable | undefined = root;
  for (const name of path) {
    const value: TomlValue | undefined =
      table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;
    table = isTable(value) ? value : undefined;
  }
  return table;
}

/** Names of the tables in a table. */
export function tableNames(table: TomlTable): string[] {
  return Object.keys(table).filter((name) => isTable(table[name]));
}

/**
 * A table's values as the text an INI file would hold, by dotted key: `collector.hostname` is either
 * that, or `hostname` in a table `collector`. Numbers and booleans become their text.
 *
 * @throws {ConfigurationError} without a file, if a value is an array or a date, or nested too deep.
 */
export function flattenTable(table: TomlTable): Map<string, string> {
  const texts = new Map<string, string>();
  flattenInto(texts, table, []);
  return texts;
}

function flattenInto(texts: Map<string, string>, table: TomlTable, path: readonly string[]): void {
  if (path.length >= MAX_DEPTH) throw new ConfigurationError(`tables are nested more than ${MAX_DEPTH} deep`);
  for (const [name, value] of Object.entries(table)) {
    const names = [...path, name];
    const key = names.join(".");
    if (isTable(value)) flattenInto(texts, value, names);
    else if (typeof value === "object")
      throw new ConfigurationError("expected a string, number or boolean", { key });
    else if (texts.has(key))
      throw new ConfigurationError("the key stands here a second time: keep one", { key });
    else texts.set(key, String(value));
  }
}

function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
}
