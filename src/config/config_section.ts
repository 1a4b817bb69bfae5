import { dirname } from "node:path";
import process from "node:process";
import { didYouMean } from "../did_you_mean.ts";
import { ConfigurationError, type ConfigurationLocation } from "../errors.ts";
import { absolutePath } from "../storage/locations.ts";
import { parseText, type ValueParser } from "./parsers.ts";

/** A key of a section, before its variables are filled in. */
export interface Setting {
  /** The key as it is written. */
  readonly name: string;
  readonly value: string;
  /** The line in the file, from 1, where the format tells. */
  readonly line?: number;
  /** Whether it comes from `[DEFAULT]`, and so is not meant for this section alone. */
  readonly isInherited: boolean;
}

/** How a value is read. */
export interface ReadOptions {
  /** Take a `$NAME` that is not set as text, with a warning, instead of rejecting it. */
  readonly keepUnset?: boolean;
  /** Show nothing of the value. */
  readonly isSecret?: boolean;
}

/** What a section is part of. */
export interface SectionContext {
  readonly place: ConfigurationLocation;
  /** Where `$NAME` and `${NAME}` come from. */
  readonly env: Env;
  /** The mode of the file when others than its owner can read it. */
  readonly openMode?: number | undefined;
}

/** What a warning says about a key that nobody reads. */
export const UNKNOWN_KEY = "unknown key, ignored";

/** A value that stands somewhere else, so that the file gives nothing away. */
const ONE_VARIABLE = /^\$(\w+|\{[^}]*\})$/;

/**
 * The settings of one section. It fills in variables, tells in every error where the value stands,
 * and knows which keys nobody asked for.
 */
export class ConfigSection {
  readonly #settings: ReadonlyMap<string, Setting>;
  readonly #place: ConfigurationLocation;
  readonly #env: Env;
  /** The mode of a file that others than its owner can read; else undefined. */
  readonly #openMode: number | undefined;
  readonly #directory: string;
  #holdsSecret = false;
  readonly #asked = new Set<string>();
  readonly #warnings: string[] = [];

  constructor(settings: ReadonlyMap<string, Setting>, context: SectionContext) {
    this.#settings = settings;
    this.#place = context.place;
    this.#env = context.env;
    this.#openMode = context.openMode;
    this.#directory = dirname(context.place.file ?? "./"); // the working directory, for a text that is in no file
  }

  /** Reads a path: absolute, or relative to the directory of the configuration's file. */
  readonly parsePath = (text: string): string => absolutePath(parseText(text), absolutePath(this.#directory));

  /**
   * What `parse` makes of a key's value; of the empty text, if the key is absent.
   *
   * @throws {ConfigurationError} with file, section, key and line, if `parse` throws one or a variable
   * in the value is not set.
   */
  read<T>(key: string, parse: ValueParser<T>, options: ReadOptions = {}): T {
    this.#asked.add(key);
    if (options.isSecret) this.#holdsSecret ||= this.#isWrittenOut(key);
    try {
      return parse(this.#expand(key, options));
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      throw new ConfigurationError(error.problem + this.#misspelt(key), this.#placeOf(key));
    }
  }

  /** Whether a key has a value that is not blank. */
  has(key: string): boolean {
    return (this.#settings.get(key)?.value ?? "") !== "";
  }

  /** The section's own keys that begin with `prefix`, by the rest of the key as it is written. */
  keysUnder(prefix: string): Map<string, string> {
    const own = [...this.#settings].filter(
      ([key, setting]) => key.startsWith(prefix) && !setting.isInherited,
    );
    return new Map(own.map(([key, { name }]) => [name.slice(prefix.length), key]));
  }

  /** Adds a warning about a key. */
  warn(key: string, problem: string): void {
    this.#warnings.push(new ConfigurationError(problem, this.#placeOf(key)).message);
  }

  /** Warns of each of the section's own keys that begin with `prefix`: they are known, and mean nothing here. */
  ignore(prefix: string, problem: string): void {
    for (const key of this.keysUnder(prefix).values()) {
      this.#asked.add(key);
      this.warn(key, problem);
    }
  }

  /** An error about a key. */
  error(key: string, problem: string): ConfigurationError {
    return new ConfigurationError(problem, this.#placeOf(key));
  }

  /** All warnings; call it last, as keys not read by then are unknown. */
  finish(): readonly string[] {
    for (const [key, setting] of this.#settings) {
      if (!setting.isInherited && !this.#asked.has(key)) this.#warnUnknown(key, setting);
    }
    if (this.#holdsSecret && this.#openMode !== undefined) this.#warnOpen(this.#openMode);
    return this.#warnings;
  }

  #isWrittenOut(key: string): boolean {
    return this.has(key) && !ONE_VARIABLE.test(this.#settings.get(key)!.value);
  }

  #warnOpen(mode: number): void {
    const { file } = this.#place;
    const octal = mode.toString(8).padStart(4, "0");
    const problem = `holds a secret, and others than its owner can read it (mode ${octal}): chmod 600 ${file}`;
    this.#warnings.push(new ConfigurationError(problem, { ...(file !== undefined && { file }) }).message);
  }

  #expand(key: string, options: ReadOptions): string {
    const { text, unset } = expandVars(this.#settings.get(key)?.value ?? "", this.#env);
    const [name] = unset;
    if (name === undefined) return text;
    const problem = options.isSecret
      ? "the environment variable in it is not set"
      : `the environment variable ${name} is not set`;
    if (!options.keepUnset) throw new ConfigurationError(problem);
    this.warn(key, `${problem}: taken as it is written`);
    return text;
  }

  /** A hint at the key that was likely meant to be this one, if this one is not there. */
  #misspelt(key: string): string {
    if (this.#settings.has(key)) return "";
    const found = didYouMean(key, this.#settings.keys());
    if (found === undefined) return "";
    const line = this.#settings.get(found)?.line;
    return line === undefined
      ? `; is ${found} meant to be it?`
      : `; is ${found} in line ${line} meant to be it?`;
  }

  #warnUnknown(key: string, { value }: Setting): void {
    // A wrapped secret that was not indented reads as a key. Don't show it.
    if (!key.includes(".") && /^=?$/.test(value)) {
      const { key: _, ...place } = this.#placeOf(key);
      const problem = `${UNKNOWN_KEY}; to continue the value above, indent the line`;
      this.#warnings.push(new ConfigurationError(problem, place).message);
      return;
    }
    const meant = didYouMean(key, this.#asked);
    this.warn(key, meant === undefined ? UNKNOWN_KEY : `${UNKNOWN_KEY}: did you mean ${meant}?`);
  }

  #placeOf(key: string): ConfigurationLocation {
    const line = this.#settings.get(key)?.line;
    return { ...this.#place, key, ...(line !== undefined && { line }) };
  }
}

/** Environment variables by name. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Where variables come from unless someone says otherwise. */
export function processEnv(): Env {
  return process.env;
}

/** A text with its variables filled in. */
export interface ExpandedText {
  readonly text: string;
  /** Names of the variables that are not set; the text still holds them as written. */
  readonly unset: readonly string[];
}

/** `\w` is ASCII only, as with Python's `re.ASCII`. */
const VARIABLE = /\$(\w+|\{[^}]*\})/g;
const BARE_VARIABLE = /\$(\w+)/g;

/**
 * Fills in `$NAME` and `${NAME}`. What is not set stays as written; a value is not expanded again;
 * there is no escape (in `$$NAME` only `$NAME` is a variable).
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
  // Behind the last `}` no `${` is ever closed: looking for its end there would take quadratic time.
  const lastClosed = text.lastIndexOf("}") + 1;
  const head = text.slice(0, lastClosed).replace(VARIABLE, fill);
  const tail = text.slice(lastClosed).replace(BARE_VARIABLE, fill);
  return { text: head + tail, unset };
}
