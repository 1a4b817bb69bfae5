/**
 * INI as Python's `configparser.RawConfigParser` reads it with its defaults, so that a file written
 * for baseplate.py means the same here.
 *
 * Why not a package: those on npm (`ini`, `js-ini`, `confbox`, `configparser`, ...) read another dialect. They end
 * values at `#` and `;`, reject `key: value`, split `[a:b.c]` at its dots, or reject continuation lines. Each of these
 * would silently change a key or a URL.
 */
import { ConfigurationError } from "../errors.ts";

/** One `name = value` of an INI file. */
export interface IniOption {
  /** The name as written. Options are found by its lower-cased form. */
  readonly name: string;
  /** The value without white space around it; continuation lines are joined by line feeds. */
  readonly value: string;
  /** The line the option starts on, from 1. */
  readonly line: number;
}

/** Options by lower-cased name, in the order of the file. */
export type IniSection = ReadonlyMap<string, IniOption>;

/** The contents of an INI file. */
export interface IniDocument {
  /** The options of `[DEFAULT]`, which every section inherits. */
  readonly defaults: IniSection;
  /** The other sections by name, in the order of the file, without what they inherit. */
  readonly sections: ReadonlyMap<string, IniSection>;
}

interface OpenOption {
  readonly name: string;
  readonly lines: string[];
  readonly line: number;
}

const DEFAULT_SECTION = "DEFAULT";
const LINE_END = /\r\n|\r|\n/;
/** Greedy; text after the last bracket is ignored, as in Python. */
const SECTION_HEADER = /^\[(.+)\]/s;
const DELIMITER = /[=:]/;

/**
 * Reads INI text.
 *
 * Source of the rules: Python 3.11 `configparser.RawConfigParser`: delimiters `=` and `:`, comments
 * only on lines of their own, indented continuation lines, empty lines inside values, lower-cased
 * option names, no option or section twice, no option without a value. `$VAR` is not expanded here.
 *
 * @throws {ConfigurationError} with the line, if Python rejects the file. The message shows no value, which could be a
 * secret
 */
export function parseIni(text: string, options: { readonly file?: string } = {}): IniDocument {
  const parser = new IniParser(options.file);
  for (const line of text.split(LINE_END)) parser.readLine(line);
  return parser.finish();
}

class IniParser {
  readonly #file: string | undefined;
  readonly #defaults = new Map<string, OpenOption>();
  readonly #sections = new Map<string, Map<string, OpenOption>>();
  #sectionName = "";
  #section: Map<string, OpenOption> | undefined;
  #option: OpenOption | undefined;
  #indent = 0;
  #line = 0;

  constructor(file: string | undefined) {
    this.#file = file;
  }

  readLine(line: string): void {
    this.#line++;
    const text = strip(line);
    if (text === "") this.#option?.lines.push("");
    else if (!text.startsWith("#") && !text.startsWith(";")) this.#readText(text, indentOf(line));
  }

  finish(): IniDocument {
    const sections = [...this.#sections].map(([name, options]) => [name, closeOptions(options)] as const);
    return { defaults: closeOptions(this.#defaults), sections: new Map(sections) };
  }

  #readText(text: string, indent: number): void {
    if (this.#option !== undefined && indent > this.#indent) {
      this.#option.lines.push(text);
      return;
    }
    this.#indent = indent;
    const header = SECTION_HEADER.exec(text)?.[1];
    if (header === undefined) this.#openOption(text);
    else this.#openSection(header);
  }

  #openSection(name: string): void {
    if (this.#sections.has(name)) throw this.#error("duplicate section: merge the two", name);
    this.#sectionName = name;
    this.#option = undefined;
    this.#section = this.#defaults;
    if (name === DEFAULT_SECTION) return;
    this.#section = new Map();
    this.#sections.set(name, this.#section);
  }

  #openOption(text: string): void {
    if (this.#section === undefined) throw this.#error(missingHeader(text));
    const at = text.search(DELIMITER);
    const name = stripEnd(text.slice(0, Math.max(at, 0)));
    if (name === "") {
      throw this.#error(
        "expected `key = value`; to continue the value above, indent the line",
        this.#sectionName,
      );
    }
    const key = name.toLowerCase();
    if (this.#section.has(key)) {
      throw this.#error("duplicate key: keep one", this.#sectionName, key);
    }
    this.#option = { name, lines: [strip(text.slice(at + 1))], line: this.#line };
    this.#section.set(key, this.#option);
  }

  #error(problem: string, section?: string, key?: string): ConfigurationError {
    return new ConfigurationError(problem, {
      ...(this.#file !== undefined && { file: this.#file }),
      ...(section !== undefined && { section }),
      ...(key !== undefined && { key }),
      line: this.#line,
    });
  }
}

function missingHeader(text: string): string {
  if (text.startsWith("\ufeff")) return "the file begins with a byte order mark: save it without";
  return "expected a [section] header before the first key";
}

function closeOptions(options: ReadonlyMap<string, OpenOption>): IniSection {
  const closed = [...options].map(([key, { name, lines, line }]) => {
    return [key, { name, value: stripEnd(lines.join("\n")), line }] as const;
  });
  return new Map(closed);
}

const SPACES: ReadonlySet<string> = new Set(
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" +
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** The number of white space characters at the beginning: the indent, as Python measures it. */
function indentOf(text: string): number {
  let index = 0;
  while (index < text.length && SPACES.has(text.charAt(index))) index++;
  return index;
}

/** The text without white space at its end: Python's `str.rstrip()`. */
function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.has(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** The text without white space around it: Python's `str.strip()`. */
function strip(text: string): string {
  return stripEnd(text.slice(indentOf(text)));
}
