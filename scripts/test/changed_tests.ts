/**
 * Which test files a change can reach: by imports, and by paths in their source text, since tests start programs and
 * read pages, fixtures and sources that they do not import. `bun test --changed` follows imports alone.
 */
import { spawnSync } from "node:child_process";
import { globSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT } from "../../test/support/project.ts";

/** Files that decide how every test runs. */
const OF_ALL_TESTS = /^(package\.json|bun\.lock|bunfig\.toml|tsconfig\.json)$/;

/** Who reads pages, wherever they are. */
const READER_OF_PAGES = "test/support/doc_page.ts";

/** Folders that tests name in a word, such as `join(ROOT, "docs")`. */
const FOLDERS = /^(deploy|docs|examples|scripts|src)$/;

/** The test files that what is not committed yet can reach. */
export function changedTests(): string[] {
  return testsReachedBy(changedFiles());
}

/** The test files that these files can reach, nearest first; all names are from the root of the repository. */
export function testsReachedBy(changed: readonly string[]): string[] {
  const tests = globSync("test/{unit,runtime,system}/**/*.test.ts", { cwd: ROOT }).sort();
  if (changed.some((file) => OF_ALL_TESTS.test(file))) return tests;
  const usersOf = usersByFile();
  const reached = new Set(changed);
  if (changed.some((file) => file.endsWith(".md"))) reached.add(READER_OF_PAGES);
  for (const file of reached) for (const user of usersOf.get(file) ?? []) reached.add(user);
  return [...reached].filter((file) => tests.includes(file));
}

function changedFiles(): string[] {
  const { stdout, status, stderr } = spawnSync(
    "git",
    ["status", "--porcelain", "-uall", "--no-renames", "-z"],
    {
      cwd: ROOT,
      encoding: "utf8",
    },
  );
  if (status !== 0) throw new Error(`git status failed: ${stderr}`);
  return stdout
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => line.slice(3));
}

/** For each file, the TypeScript files that name it. */
function usersByFile(): Map<string, Set<string>> {
  const usersOf = new Map<string, Set<string>>();
  for (const user of globSync("{src,test,scripts,examples}/**/*.{ts,tsx}", { cwd: ROOT }))
    for (const file of namedFiles(user)) usersOf.set(file, (usersOf.get(file) ?? new Set()).add(user));
  return usersOf;
}

/** The files that the strings of a source file name, from where it is or from the root. A folder names all that is in it. */
function namedFiles(user: string): string[] {
  const text = readFileSync(join(ROOT, user), "utf8");
  const names = [...text.matchAll(/["'`]([\w./-]*\w\/?)/g)].map(([, name]) => name!);
  const paths = names
    .filter((name) => /[./]/.test(name) || FOLDERS.test(name))
    .flatMap((name) => [join(dirname(user), name), join(name)]);
  return [...new Set(paths)].filter((path) => !path.startsWith("..")).flatMap(filesAt);
}

function filesAt(path: string): string[] {
  const found = statSync(join(ROOT, path), { throwIfNoEntry: false });
  if (found?.isFile()) return [path];
  if (!found?.isDirectory() || /node_modules|^test\/?$/.test(path)) return [];
  return readdirSync(join(ROOT, path), { recursive: true, encoding: "utf8" }).map((name) => join(path, name));
}
