/**
 * White space as Python's `str` sees it. JavaScript's own `trim` differs: it takes the byte order
 * mark for white space and leaves U+001C to U+001F and U+0085 alone.
 *
 * @module
 */

const SPACES: ReadonlySet<string> = new Set(
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" +
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** How many white space characters the text begins with: Python's measure of a line's indent. */
export function indentOf(text: string): number {
  let index = 0;
  while (index < text.length && SPACES.has(text.charAt(index))) index++;
  return index;
}

/** The text without white space at its end: Python's `str.rstrip()`. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.has(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** The text without white space around it: Python's `str.strip()`. */
export function strip(text: string): string {
  return stripEnd(text.slice(indentOf(text)));
}
