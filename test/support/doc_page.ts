import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { ROOT } from "./project.ts";

/** A fenced block of a page. */
export interface DocBlock {
  /** The page, from the root of the repository: `docs/testing.md`. */
  readonly page: string;
  /** The line of its fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

/** A program of a page, as its first line names it, `// signup.ts`, or by the page and its place in it. */
export interface DocProgram {
  readonly name: string;
  readonly text: string;
  /** The `text` block that follows it: what it prints. */
  readonly output: string | undefined;
}

/** The pages whose blocks are checked: what users read. */
export const PAGES: readonly string[] = [
  "README.md",
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name))
    .sort(),
];

/** The text of a page, from the root of the repository. */
export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** The fenced blocks of a page, in order; those in a list lose its indentation. */
export function readBlocks(page: string): DocBlock[] {
  const markdown = readPage(page);
  return [...markdown.matchAll(/^( *)```(\w*)\n(.*?)^\1```$/gms)].map((match) => {
    const [, indent = "", language = "", text = ""] = match;
    const line = markdown.slice(0, match.index).split("\n").length;
    return { page, line, language, text: text.replaceAll(new RegExp(`^${indent}`, "gm"), "") };
  });
}

/**
 * The TypeScript of a page, as programs. A block without a name and without imports goes on with the one before it,
 * as people read it.
 */
export function readPrograms(page: string): DocProgram[] {
  const programs: DocProgram[] = [];
  for (const block of readBlocks(page)) {
    const { language, text } = block;
    if (language === "text" && programs.length > 0) programs.push({ ...programs.pop()!, output: text });
    if (language !== "ts") continue;
    const name = nameOf(block);
    const isContinued = name === undefined && !/^import /m.test(text) && programs.length > 0;
    if (isContinued) programs.push({ ...programs.at(-1)!, text: programs.pop()!.text + text });
    else programs.push({ name: name ?? unnamed(page, programs.length), text, output: undefined });
  }
  return programs;
}

function unnamed(page: string, nth: number): string {
  return `${basename(page, ".md").toLowerCase().replaceAll("-", "_")}_${nth + 1}.ts`;
}

/** The file that a block is, as its first line says: `// signup.ts`, `# tutorial.ini`. */
export function nameOf({ text }: DocBlock): string | undefined {
  return /^(?:\/\/|#) ([\w.-]+\.\w+)\n/.exec(text)?.[1];
}

/** Programs by their names, as a project takes them. */
export function filesOf(programs: readonly DocProgram[]): Record<string, string> {
  return Object.fromEntries(programs.map(({ name, text }) => [name, text]));
}
