/**
 * Pieces of Markdown, and of docstrings, which are Markdown too.
 *
 * @module
 */

const MAX_SUMMARY_CHARS = 110;

/** How GitHub names a heading in links. */
export function anchorOf(heading: string): string {
  const text = heading.replaceAll("`", "").toLowerCase();
  return text
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
}

/** A table; cells may have several lines. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cellText).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function cellText(text: string): string {
  const line = text
    .trim()
    .replace(/\n\n|\n(?=- )/g, "<br>")
    .replaceAll("\n", " ");
  return line.replaceAll("|", "\\|");
}

/** A fenced block of TypeScript. */
export function tsBlock(code: string): string {
  return `\`\`\`ts\n${code.trim()}\n\`\`\``;
}

/** Parts of a page, with an empty line between; empty ones are left out. */
export function paragraphs(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part.trim() !== "").join("\n\n");
}

/** The first sentence of a text, or of a long one what stands before its colon. */
export function firstSentence(markdown: string): string {
  const [paragraph = ""] = markdown.trim().split("\n\n");
  const line = paragraph.replaceAll("\n", " ");
  const sentence = line.replace(/(?<!\b(?:e\.g|i\.e))\. .*$/, "").replace(/[.:]$/, "");
  if (sentence.length <= MAX_SUMMARY_CHARS) return sentence;
  return /^.{20,}?(?=: )/.exec(sentence)?.[0] ?? sentence;
}

/** A docstring's text in two: what stands in `Default: ...`, and the rest. */
export function splitDefault(markdown: string): { readonly meaning: string; readonly fallback: string } {
  const pattern = /(?:^|(?<=[.;)`]\s))Default[:,]? ((?:`[^`]*`|[^`])*?)(?:(?<!\b(?:e\.g|i\.e))\.(?=\s|$)|$)/;
  const match = pattern.exec(markdown);
  if (match === null) return { meaning: markdown.trim(), fallback: "" };
  const rest = markdown.slice(0, match.index) + markdown.slice(match.index + match[0].length);
  return { meaning: rest.replace(/ {2,}/g, " ").trim(), fallback: match[1]!.replaceAll("\n", " ") };
}
