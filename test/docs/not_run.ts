import type { DocBlock } from "../support/doc_page.ts";

/** The blocks that no test runs, by page and first line, each with the reason. */
const NOT_RUN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "README.md": {
    "npx --yes bun@1.4.4 run demo": "test/scripts/demo.test.ts runs the demo; the other is these tests",
    "bun add eventspool hono": "it is not on npm yet",
    " service                 |   one SQLite file    |  publisher                                      |  collector":
      "it is a drawing",
  },
};

/** Why a block is not run, if it is not. */
export function reasonNotRun({ page, text }: DocBlock): string | undefined {
  return NOT_RUN[page]?.[text.split("\n")[0]!];
}

/** All entries of the list, as `page: first line`. */
export function notRun(): string[] {
  return Object.entries(NOT_RUN).flatMap(([page, lines]) =>
    Object.keys(lines).map((line) => `${page}: ${line}`),
  );
}
