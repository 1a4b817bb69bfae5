import { parse, TomlError, type TomlTable, type TomlValue } from "smol-toml";
import { ConfigurationError } from "../errors.ts";

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
