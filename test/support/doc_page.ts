import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./project.ts";

/** A program of a page, as its first line names it: `// signup.ts`. */
export interface DocProgram {
  readonly name: string;
  readonly text: string;
  /** The `text` block that follows it: what it prints. */
  readonly output: string | undefined;
}

/** The TypeScript blocks of a page of docs/, in order. */
export function readPrograms(page: string): DocProgram[] {
  const programs: DocProgram[] = [];
  for (const { language, text } of readBlocks(page)) {
    if (language === "text") programs.push({ ...programs.pop()!, output: text });
    if (language !== "ts") continue;
    const [, name] = /^\/\/ (\S+\.ts)\n/.exec(text) ?? [];
    if (name === undefined)
      throw new Error(`${page} has a TypeScript block whose first line is no name:\n${text}`);
    programs.push({ name, text, output: undefined });
  }
  return programs;
}

/** The fenced blocks of a page of docs/. */
export function readBlocks(page: string): { readonly language: string; readonly text: string }[] {
  const markdown = readFileSync(join(ROOT, "docs", page), "utf8");
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => {
    return { language: language!, text: text! };
  });
}

/** Programs by their names, as a project takes them. */
export function filesOf(programs: readonly DocProgram[]): Record<string, string> {
  return Object.fromEntries(programs.map(({ name, text }) => [name, text]));
}
