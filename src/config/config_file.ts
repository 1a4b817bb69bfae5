import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import { parse, TomlError, type TomlTable, type TomlValue } from "smol-toml";
import { ConfigurationError, type ConfigurationLocation } from "../errors.ts";
import { assertReadable, explainFileError } from "../file_error.ts";
import { checkOption, STRING } from "../options.ts";
import { ConfigSection, type Env, type FileExposure, processEnv, type Setting } from "./config_section.ts";
import { type IniSection, parseIni } from "./ini.ts";

/** The syntax of a configuration file. */
export type ConfigFormat = "ini" | "toml";

/** The text of a configuration file, and how to read it. */
export interface ConfigText {
  readonly text: string;
  readonly format: ConfigFormat;
  /** The file's name, for messages. */
  readonly file: string;
  /** Set if users other than the owner can read the file. */
  readonly exposure: FileExposure | undefined;
}

/** How to read a configuration text. */
export interface ParseOptions {
  /** The syntax of the text. Default: `ini`. */
  readonly format?: ConfigFormat;
  /** The file's name, for messages. */
  readonly file?: string;
  /** Set if users other than the owner can read the file: a warning if it holds a secret. */
  readonly exposure?: FileExposure | undefined;
  /** The variables for `$NAME` and `${NAME}`. Default: the environment of this process. */
  readonly env?: Env;
}

/** A section's name in its parts: `[event-publisher:main]` in INI, `[event-publisher.main]` in TOML. */
type SectionName = readonly [kind: string, name?: string];

const MAX_LISTED_SECTIONS = 10;

/**
 * Reads a configuration file: TOML if its name ends in `.toml`, otherwise INI.
 *
 * @throws {ConfigurationError} the file cannot be read, or is not UTF-8
 */
export function readConfigFile(path: string): ConfigText {
  checkOption("path", path, STRING);
  const format = path.toLowerCase().endsWith(".toml") ? "toml" : "ini";
  return { text: decode(readBytes(path), path), format, file: path, exposure: exposureOf(path) };
}

/**
 * Finds a section in a configuration text.
 *
 * @throws {ConfigurationError} the text is not valid INI or TOML, or the section is missing; then it lists the sections
 * that exist
 */
export function openSection(text: string, name: SectionName, options: ParseOptions): ConfigSection {
  const { format = "ini", file, exposure, env = processEnv() } = options;
  const section = format === "ini" ? name.join(":") : tomlName(name);
  const location = file === undefined ? { section } : { file, section };
  const settings = format === "ini" ? iniSettings(text, location) : tomlSettings(text, name, location);
  return new ConfigSection(settings, { location, env, exposure });
}

type SectionLocation = ConfigurationLocation & { readonly section: string };

function iniSettings(text: string, location: SectionLocation): Map<string, Setting> {
  const { defaults, sections } = parseIni(text, location);
  const own = sections.get(location.section);
  if (own === undefined) throw missingSection(location, [...sections.keys()]);
  return new Map([...settingsOf(defaults, true), ...settingsOf(own, false)]);
}

function settingsOf(options: IniSection, isInherited: boolean): [string, Setting][] {
  return [...options].map(([key, option]) => [key, { ...option, isInherited }]);
}

function tomlSettings(text: string, name: SectionName, location: SectionLocation): Map<string, Setting> {
  const root = parseToml(text, location);
  const path = name.filter((part) => part !== undefined);
  const table = tableAt(root, path);
  if (table === undefined) {
    const siblings = path.length > 1 ? tableNames(tableAt(root, path.slice(0, -1)) ?? {}) : [];
    const others = tableNames(root).filter((other) => siblings.length === 0 || other !== path[0]);
    const names = [
      ...siblings.map((sibling) => tomlName([path[0], sibling])),
      ...others.map((other) => tomlName([other])),
    ];
    throw missingSection(location, names, needsQuotes(root, path) ? quotesMissing(path) : "");
  }
  const texts = withLocation(location, () => flattenTable(table));
  return new Map([...texts].map(([key, value]) => [key, { name: key, value, isInherited: false }]));
}

function withLocation<T>(location: ConfigurationLocation, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(error.problem, { ...location, ...error.location });
  }
}

/** Formats the name of a table: TOML needs quotes around a part with a dot. */
function tomlName(parts: readonly (string | undefined)[]): string {
  return parts
    .filter((part) => part !== undefined)
    .map((part) => (/^[\w-]+$/.test(part) ? part : JSON.stringify(part)))
    .join(".");
}

/** Whether the file has `[event-publisher.a.b]` for the queue `a.b`. */
function needsQuotes(root: TomlTable, path: readonly string[]): boolean {
  const parts = path.flatMap((part) => part.split("."));
  return parts.length > path.length && tableAt(root, parts) !== undefined;
}

function quotesMissing(path: readonly string[]): string {
  const unquoted = path.join(".");
  return `; [${unquoted}] is a table in a table: a name with a dot needs quotes, [${tomlName(path)}]`;
}

function missingSection(
  location: ConfigurationLocation,
  names: readonly string[],
  hint: string = "",
): ConfigurationError {
  const listed = names.slice(0, MAX_LISTED_SECTIONS).map((name) => `[${name}]`);
  if (names.length > listed.length) listed.push("...");
  const found = listed.length === 0 ? "the file has no sections" : `the file has ${listed.join(", ")}`;
  const isQueue = (name: string = ""): boolean => /^event-publisher[:.]/.test(name);
  const isOther = hint === "" && isQueue(location.section) && names.some((name) => isQueue(name));
  const advice = isOther ? "; name the queue with --queue-name (option queueName)" : hint;
  return new ConfigurationError(`the section is missing: ${found}${advice}`, location);
}

function readBytes(file: string): Uint8Array {
  try {
    assertReadable(file);
    return readFileSync(file);
  } catch (cause) {
    const problem = `cannot read the configuration: ${explainFileError(cause, file)}`;
    throw new ConfigurationError(problem, { file }, { cause });
  }
}

/** The group does not count as others if this process is not the owner and reads the file by its group. */
function exposureOf(file: string): FileExposure | undefined {
  const { mode, uid } = statSync(file);
  const isOwner = uid === process.getuid?.();
  const isOpen = (mode & 0o004) !== 0 || (isOwner && (mode & 0o040) !== 0);
  return isOpen ? { mode, uid } : undefined;
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ConfigurationError("the configuration is not UTF-8 text", { file });
  }
}

export type { TomlTable };

/** Keys have two levels (`collector.hostname`); deeper tables than this are not a configuration. */
const MAX_DEPTH = 8;

/**
 * Reads TOML text.
 *
 * @throws {ConfigurationError} with line and column, if the text is not TOML. It has the parser's message without its
 * excerpt of the file, which could show a secret.
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

/** The table at a path of names, if it exists. */
export function tableAt(root: TomlTable, path: readonly string[]): TomlTable | undefined {
  let table: TomlTable | undefined = root;
  for (const name of path) {
    const value: TomlValue | undefined =
      table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;
    table = isTable(value) ? value : undefined;
  }
  return table;
}

/** The names of the tables in a table. */
export function tableNames(table: TomlTable): string[] {
  return Object.keys(table).filter((name) => isTable(table[name]));
}

/**
 * Returns the values of a table as the text that an INI file would hold, by dotted key: `collector.hostname` is either
 * one key, or `hostname` in a table `collector`. Numbers and booleans become text.
 *
 * @throws {ConfigurationError} without a file, if a value is an array or a date, or nested too deep
 */
export function flattenTable(table: TomlTable): Map<string, string> {
  const texts = new Map<string, string>();
  flattenInto(texts, table, []);
  return texts;
}

function flattenInto(texts: Map<string, string>, table: TomlTable, path: readonly string[]): void {
  if (path.length >= MAX_DEPTH)
    throw new ConfigurationError(`tables are nested more than ${MAX_DEPTH} levels deep`);
  for (const [name, value] of Object.entries(table)) {
    const names = [...path, name];
    const key = names.join(".");
    if (isTable(value)) flattenInto(texts, value, names);
    else if (typeof value === "object")
      throw new ConfigurationError("expected a string, number or boolean", { key });
    else if (texts.has(key)) throw new ConfigurationError("duplicate key: keep one", { key });
    else texts.set(key, String(value));
  }
}

function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
}
