import { dirname } from "node:path";
import process from "node:process";
import { ConfigurationError, type ConfigurationLocation } from "../errors.ts";
import { didYouMean, formatMode } from "../format.ts";
import { absolutePath } from "../storage/locations.ts";
import { optional, parseText, type ValueParser } from "./parsers.ts";

/** A key of a section, before its variables are expanded. */
export interface Setting {
  /** The key as written in the file. */
  readonly name: string;
  readonly value: string;
  /** The line in the file, from 1; undefined for TOML. */
  readonly line?: number;
  /** Whether it comes from `[DEFAULT]`, and so applies to all sections. */
  readonly isInherited: boolean;
}

/** Options of {@link ConfigSection.read}. */
export interface ReadOptions {
  /** Keep an unset `$NAME` as text, with a warning, instead of rejecting it. */
  readonly keepUnset?: boolean;
  /** Never show the value. */
  readonly isSecret?: boolean;
}

/** The permissions of a file that other users can read. */
export interface FileExposure {
  readonly mode: number;
  /** The owner. */
  readonly uid: number;
}

/** The context of a section. */
export interface SectionContext {
  readonly location: ConfigurationLocation;
  /** The variables for `$NAME` and `${NAME}`. */
  readonly env: Env;
  /** The permissions of the file if other users can read it. */
  readonly exposure?: FileExposure | undefined;
}

/** The warning about a key that no reader asks for. */
export const UNKNOWN_KEY = "unknown key, ignored";

/** A value that is in a variable, so the file does not hold it. */
const ONE_VARIABLE = /^\$(\w+|\{[^}]*\})$/;

/**
 * The settings of one section. It expands variables, adds the location of the value to every error, and finds unknown
 * keys.
 */
export class ConfigSection {
  readonly #settings: ReadonlyMap<string, Setting>;
  readonly #location: ConfigurationLocation;
  readonly #env: Env;
  readonly #exposure: FileExposure | undefined;
  readonly #directory: string;
  #holdsSecret = false;
  readonly #asked = new Set<string>();
  readonly #warnings: string[] = [];

  constructor(settings: ReadonlyMap<string, Setting>, context: SectionContext) {
    this.#settings = settings;
    this.#location = context.location;
    this.#env = context.env;
    this.#exposure = context.exposure;
    this.#directory = dirname(context.location.file ?? "./"); // the working directory, if the text is not from a file
  }

  /** Reads a path: absolute, or relative to the directory of the configuration's file. */
  readonly parsePath = (text: string): string => absolutePath(parseText(text), absolutePath(this.#directory));

  /**
   * Reads the value of a key with `parse`, which gets the empty text if the key is absent.
   *
   * @throws {ConfigurationError} with file, section, key and line, if `parse` throws one, or a variable in the value is
   * not set
   */
  read<T>(key: string, parse: ValueParser<T>, options: ReadOptions = {}): T {
    this.#asked.add(key);
    if (options.isSecret) this.#holdsSecret ||= this.#isInFile(key);
    try {
      return parse(this.#expand(key, options));
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      throw new ConfigurationError(error.problem + this.#misspelt(key), this.#locationOf(key), {
        cause: error.cause,
      });
    }
  }

  /** Reads a key as {@link read} does, or returns `fallback` if it is absent or blank. */
  readOptional<T>(key: string, parse: ValueParser<T>): T | undefined;
  readOptional<T, D>(key: string, parse: ValueParser<T>, fallback: D): T | D;
  readOptional<T, D>(key: string, parse: ValueParser<T>, fallback?: D): T | D | undefined {
    return this.read(key, optional(parse, fallback));
  }

  /** Whether a key has a value that is not blank. */
  has(key: string): boolean {
    return (this.#settings.get(key)?.value ?? "") !== "";
  }

  /** The section's own keys that begin with `prefix`, by the rest of the key as written. */
  keysUnder(prefix: string): Map<string, string> {
    const own = [...this.#settings].filter(
      ([key, setting]) => key.startsWith(prefix) && !setting.isInherited,
    );
    return new Map(own.map(([key, { name }]) => [name.slice(prefix.length), key]));
  }

  /** Adds a warning about a key. */
  warn(key: string, problem: string): void {
    this.#warnings.push(new ConfigurationError(problem, this.#locationOf(key)).message);
  }

  /** Warns about each of the section's own keys that begin with `prefix`: they are known, but have no effect here. */
  ignore(prefix: string, problem: string): void {
    for (const key of this.keysUnder(prefix).values()) {
      this.#asked.add(key);
      this.warn(key, problem);
    }
  }

  /** An error about a key. */
  error(key: string, problem: string): ConfigurationError {
    return new ConfigurationError(problem, this.#locationOf(key));
  }

  /** Returns all warnings. Call it last: keys that were not read by then are unknown. */
  finish(): readonly string[] {
    for (const [key, setting] of this.#settings) {
      if (!setting.isInherited && !this.#asked.has(key)) this.#warnUnknown(key, setting);
    }
    if (this.#holdsSecret && this.#exposure !== undefined) this.#warnExposed(this.#exposure);
    return this.#warnings;
  }

  #isInFile(key: string): boolean {
    return this.has(key) && !ONE_VARIABLE.test(this.#settings.get(key)!.value);
  }

  #warnExposed({ mode, uid }: FileExposure): void {
    const { file } = this.#location;
    const problem = `holds a secret, and users other than its owner (uid ${uid}) can read it (mode ${formatMode(mode)}): chmod 600 ${file}`;
    this.#warnings.push(new ConfigurationError(problem, { ...(file !== undefined && { file }) }).message);
  }

  #expand(key: string, options: ReadOptions): string {
    const { text, unset } = expandVars(this.#settings.get(key)?.value ?? "", this.#env);
    const [name] = unset;
    if (name === undefined) return text;
    const isShown = !options.isSecret || !this.#isInFile(key); // "pa$word" in a secret may be no variable
    const problem = isShown
      ? `the environment variable ${name} is not set`
      : "an environment variable in the value is not set";
    if (!options.keepUnset) throw new ConfigurationError(problem);
    this.warn(key, `${problem}: the value is used as written`);
    return text;
  }

  /** Suggests the key that was probably meant, if this one is absent. */
  #misspelt(key: string): string {
    if (this.#settings.has(key)) return "";
    const found = didYouMean(key, this.#settings.keys());
    if (found === undefined) return "";
    const line = this.#settings.get(found)?.line;
    return `; did you mean the key ${found}${line === undefined ? "" : ` in line ${line}`}?`;
  }

  #warnUnknown(key: string, { value }: Setting): void {
    // The rest of a wrapped secret without an indent looks like a key. Do not show it.
    if (!key.includes(".") && /^=?$/.test(value)) {
      const { key: _, ...location } = this.#locationOf(key);
      const problem = `${UNKNOWN_KEY}; to continue the value above, indent the line`;
      this.#warnings.push(new ConfigurationError(problem, location).message);
      return;
    }
    const meant = didYouMean(key, this.#asked);
    this.warn(key, meant === undefined ? UNKNOWN_KEY : `${UNKNOWN_KEY}: did you mean ${meant}?`);
  }

  #locationOf(key: string): ConfigurationLocation {
    const line = this.#settings.get(key)?.line;
    return { ...this.#location, key, ...(line !== undefined && { line }) };
  }
}

/** Environment variables by name. */
export type Env = Readonly<Record<string, string | undefined>>;

/** The default for variables. */
export function processEnv(): Env {
  return process.env;
}

/** A text after its variables are expanded. */
export interface ExpandedText {
  readonly text: string;
  /** The names of the variables that are not set; the text holds them as written. */
  readonly unset: readonly string[];
}

/** `\w` is ASCII only, as with Python's `re.ASCII`. */
const VARIABLE = /\$(\w+|\{[^}]*\})/g;
const BARE_VARIABLE = /\$(\w+)/g;

/**
 * Expands `$NAME` and `${NAME}`. An unset variable stays as written, a value is not expanded again, and there is no
 * escape: in `$$NAME` only `$NAME` is a variable.
 *
 * Source of the rules: Python's `os.path.expandvars` on POSIX.
 */
export function expandVars(text: string, env: Env): ExpandedText {
  const unset: string[] = [];
  const fill = (variable: string, word: string): string => {
    const name = word.startsWith("{") ? word.slice(1, -1) : word;
    const value = env[name];
    // Not `undefined`: `process.env.constructor` is a function.
    if (typeof value === "string") return value;
    unset.push(name);
    return variable;
  };
  // Behind the last `}` no `${` is closed: searching for its end there would take quadratic time.
  const lastClosed = text.lastIndexOf("}") + 1;
  const head = text.slice(0, lastClosed).replace(VARIABLE, fill);
  const tail = text.slice(lastClosed).replace(BARE_VARIABLE, fill);
  return { text: head + tail, unset };
}
