/**
 * Shows JSON on several lines.
 *
 * @module
 */

/** How deep the indentation goes; deeper levels stay there, or a hostile event would fill the page with spaces. */
const MAX_LEVELS = 12;

/** A string, whole or cut off at the end; a bracket that opens and closes at once; any other single character of structure; the rest. */
const TOKENS = /"(?:[^"\\]|\\.)*(?:"|\\?$)|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/gs;

/**
 * Breaks and indents a JSON text, digit for digit: JSON.parse would damage integers beyond 2^53. A text that was
 * cut off is taken as far as it goes.
 */
export function indentJson(text: string): string {
  let level = 0;
  let out = "";
  const newLine = (): string => `\n${"  ".repeat(Math.min(level, MAX_LEVELS))}`;
  for (const [token] of text.matchAll(TOKENS)) {
    if (/^[{[]\s*[\]}]$/.test(token)) out += token.at(0)! + token.at(-1)!;
    else if (token === "{" || token === "[") {
      level++;
      out += token + newLine();
    } else if (token === "}" || token === "]") {
      level = Math.max(0, level - 1);
      out += newLine() + token;
    } else if (token === ",") out += token + newLine();
    else out += token === ":" ? ": " : token;
  }
  return out;
}
