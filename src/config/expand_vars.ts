import process from "node:process";

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
