import { isDeepStrictEqual } from "node:util";

/** A command of a page, and the output that the page shows, if it shows any. */
export interface Step {
  readonly command: string;
  readonly output: string | undefined;
}

/**
 * The commands of a block: the lines after `$ `, each with the output below it; without such lines, all lines,
 * which only must succeed.
 */
export function stepsOf(text: string): Step[] {
  if (!/^\$ /m.test(text)) return linesOf(text).map((command) => ({ command, output: undefined }));
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = "", ...output] = step.trimEnd().split("\n");
      return { command, output: output.join("\n") };
    });
}

/**
 * Whether a program's output is what a page shows, except what differs between runs: times, ages, sizes of files, UUIDs,
 * versions, directories, and the space between columns. JSON must have the same members and values, except fractions and
 * times.
 */
export function isAsShown(actual: string, shown: string): boolean {
  const [lines, expected] = [linesOf(actual), linesOf(shown)];
  return lines.length === expected.length && lines.every((line, at) => isSameLine(line, expected[at]!));
}

function isSameLine(actual: string, shown: string): boolean {
  const [a, b] = [parseJson(actual), parseJson(shown)];
  if (a !== undefined && b !== undefined) return isDeepStrictEqual(withoutChance(a), withoutChance(b));
  return settled(actual) === settled(shown);
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}

/** An object or an array; a lone number is a line of text. */
function parseJson(line: string): object | undefined {
  if (!/^[{[]/.test(line)) return undefined;
  try {
    return JSON.parse(line) as object;
  } catch {
    return undefined;
  }
}

function withoutChance(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? value : "<fraction>";
  if (typeof value === "string") return settled(value);
  if (Array.isArray(value)) return value.map(withoutChance);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withoutChance(member)]));
}

const CHANCES: readonly (readonly [RegExp, string])[] = [
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>"],
  [/\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b/g, "<uuid>"],
  [/(?<![\w.:/])(?:\/[\w.@+-]+)+\/([\w.@+-]+)/g, "<directory>/$1"],
  [/(?<![\w.-])\d+(?:\.\d+)?(?:ms|s|m|h|d)\b/g, "<age>"],
  [/(?<![\w.-])(?:0 B|\d+(?:\.\d+)? (?:KiB|MiB|GiB|TiB))\b/g, "<size>"], // an idle publisher empties the -wal
  [/\b(Bun|eventspool) \d+\.\d+\.\d+/g, "$1 <version>"],
  [/\bowner \d+/g, "owner <id>"],
  [/\s+/g, " "],
];

function settled(line: string): string {
  return CHANCES.reduce((text, [pattern, name]) => text.replaceAll(pattern, name), line).trim();
}
