import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDeployment, readDockerfile, words } from "../../support/deployment.ts";
import { ROOT } from "../../support/project.ts";

const dockerfile = readDockerfile();
const all = (name: string): string[] => dockerfile.filter((i) => i.name === name).map((i) => i.value);
const copied = all("COPY")
  .filter((value) => !value.startsWith("--from"))
  .flatMap((value) => value.split(" ").slice(0, -1));

test("has an image that copies only what there is, and what the build may see", () => {
  assert.ok(copied.includes("src"));
  const visible = readDeployment("docker/Dockerfile.dockerignore").split("\n");
  for (const path of copied) {
    assert.ok(existsSync(join(ROOT, path)), path);
    assert.ok(visible.includes(`!${path}`), `${path} is hidden by Dockerfile.dockerignore`);
  }
});

test("has an image of a pinned Bun, for a user without rights", () => {
  const bases = all("FROM").map((value) => value.split(" ")[0]!);
  for (const base of bases.filter((name) => name.includes("/"))) assert.match(base, /:\d+\.\d+\.\d+-slim$/);
  assert.deepEqual(all("USER"), ["1000:1000"]);
});

test("has an image whose programs get signals themselves, and exist", () => {
  const entries = all("ENTRYPOINT").map(words);
  assert.equal(entries.length, 2);
  for (const [program, ...args] of entries) {
    assert.equal(program, "bun");
    const file = args.find((arg) => arg.startsWith("/"));
    assert.ok(existsSync(file!.replace(/^\/app/, ROOT)), file);
  }
});
