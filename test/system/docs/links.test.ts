import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { readPage } from "../../support/doc_page.ts";
import { ROOT } from "../../support/project.ts";

const PASSED_OVER = new Set([".git", "node_modules", "dist", "coverage"]);

test("every link of a page leads to an existing file and heading", () => {
  const pages = pagesUnder(ROOT);
  const links = pages.flatMap(linksOf);
  assert.ok(links.length > 10, `only ${links.length} links were found`);
  assert.deepEqual(links.map(problemOf).filter(Boolean), []);
});

test("a link to a missing file or heading is found", () => {
  const from = (target: string): string | undefined => problemOf({ page: "docs/operating.md", target });
  assert.equal(from("nowhere.md"), "docs/operating.md: nowhere.md: docs/nowhere.md does not exist");
  assert.equal(from("../README.md#nowhere"), "docs/operating.md: ../README.md#nowhere: unknown heading");
  assert.equal(from("../README.md#when-to-use-it"), undefined);
  assert.equal(from("#disk-space"), undefined);
});

test("pages are linked to by their headings as GitHub names them", () => {
  assert.deepEqual(anchorsOf("# A `b_c`: d, e\n\n```\n# not this\n```\n\n## A\n## A\n"), [
    "a-b_c-d-e",
    "a",
    "a-1",
  ]);
});

for (const index of ["docs/README.md", "llms.txt"])
  test(`${index} leads to every page of docs`, () => {
    const links = linksOf(index);
    assert.deepEqual(links.map(problemOf).filter(Boolean), []);
    const linked = links.map(({ target }) => join(dirname(index), target));
    const pages = pagesUnder(join(ROOT, "docs")).filter((page) => page !== "docs/README.md");
    assert.deepEqual(
      pages.filter((page) => !linked.includes(page)),
      [],
    );
  });

interface Link {
  readonly page: string;
  readonly target: string;
}

function pagesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter(({ name }) => !PASSED_OVER.has(name))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return pagesUnder(path);
      return entry.name.endsWith(".md") ? [relative(ROOT, path)] : [];
    });
}

/** The links of a page that stay in the repository: `[text](target)`, and images. */
function linksOf(page: string): Link[] {
  const prose = withoutCode(readPage(page)).replace(/<!--.*?-->/gs, "");
  const targets = [
    ...prose.matchAll(/\]\(<?([^()\s>]+)>?(?: "[^"]*")?\)/g),
    ...prose.matchAll(/\b(?:src|href|srcset)="([^"]+)"/g),
  ];
  return targets
    .map(([, target]) => ({ page, target: target! }))
    .filter(({ target }) => !/^[a-z]+:/.test(target));
}

function problemOf({ page, target }: Link): string | undefined {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? page : join(dirname(page), path);
  if (!existsSync(join(ROOT, file))) return `${page}: ${target}: ${file} does not exist`;
  if (anchor === undefined || statSync(join(ROOT, file)).isDirectory() || !file.endsWith(".md"))
    return undefined;
  return anchorsOf(readPage(file)).includes(anchor) ? undefined : `${page}: ${target}: unknown heading`;
}

/** GitHub's names for the headings of a page: lower case, no punctuation, a number for repeated ones. */
function anchorsOf(markdown: string): string[] {
  const seen = new Map<string, number>();
  return [...withoutFences(markdown).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => {
    const text = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
    const anchor = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replace(/\s/g, "-");
    const nth = seen.get(anchor) ?? 0;
    seen.set(anchor, nth + 1);
    return nth === 0 ? anchor : `${anchor}-${nth}`;
  });
}

function withoutFences(markdown: string): string {
  return markdown.replace(/^( *)```.*?^\1```$/gms, "");
}

function withoutCode(markdown: string): string {
  return withoutFences(markdown).replace(/`[^`\n]+`/g, "");
}
