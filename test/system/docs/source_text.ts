import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/project.ts";

/** The texts of the files of src/ by name, without the collector's, which has its own page. */
export function readSources(): Map<string, string> {
  const names = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const shown = names.filter(
    (name) => name.endsWith(".ts") && !/^(commands\/(running_)?)?collector\b/.test(name),
  );
  return new Map(shown.map((name) => [name, readFileSync(join(ROOT, "src", name), "utf8")]));
}

/** One string literal, or several that are joined by `+`, in source text. */
const LITERALS = String.raw`((?:["\`][^"\`]*["\`]\s*(?:\+\s*)?)+)`;

/** The strings after `prefix`, a pattern whose groups come first. `…` replaces each value. */
export function stringsAfter(prefix: string, text: string): string[][] {
  const found = text.matchAll(new RegExp(prefix + String.raw`\s*` + LITERALS, "g"));
  return [...found].map((match) => [...match.slice(1, -1), withoutValues(match.at(-1)!)]);
}

function withoutValues(literals: string): string {
  const joined = [...literals.matchAll(/(["`])([^"`]*)\1/g)].map(([, , part]) => part).join("");
  return joined.replaceAll(/\$?\{[^}]*\}/g, "…");
}

/** The rows of the table below a heading of a page, each as the texts of its cells, without the head. */
export function tableBelow(page: string, heading: string): string[][] {
  const [, section] = page.split(`\n${heading}\n`);
  if (section === undefined) throw new Error(`the page has no ${heading}`);
  const rows = section
    .split(/\n#+ /)[0]!
    .split("\n")
    .filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
