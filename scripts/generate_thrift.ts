/**
 * Generates the code of a Thrift IDL for an ESM project on Bun, Deno and Node, in TypeScript's eyes
 * too, into `gen-nodejs` beside the IDL:
 *
 *     bun scripts/generate_thrift.ts [examples/thrift/event.thrift]
 *
 * The Apache Thrift compiler's output (`--gen js:node,es6,ts`) is CommonJS under a `.js` name, and its
 * declarations know no `read` and `write`, no BigInt and no plain objects for nested structs. This
 * mends just that.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const EXAMPLE = fileURLToPath(new URL("../examples/thrift/event.thrift", import.meta.url));

const MISSING = `The Apache Thrift compiler ("thrift") is not installed. Install it:
  Debian, Ubuntu   apt-get install thrift-compiler
  Fedora           dnf install thrift
  macOS            brew install thrift`;

function main(idl: string): number {
  const scratch = mkdtempSync(join(tmpdir(), "eventspool-thrift-"));
  try {
    const compiler = compile(idl, scratch);
    if (compiler !== 0) return compiler;
    const target = join(dirname(idl), "gen-nodejs");
    mkdirSync(target, { recursive: true });
    for (const file of readdirSync(scratch)) writeMended(join(scratch, file), target, basename(idl));
    return 0;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Returns the compiler's exit code. */
function compile(idl: string, directory: string): number {
  const args = ["-r", "--gen", "js:node,es6,ts", "-out", directory, idl];
  const { error, status } = spawnSync("thrift", args, { stdio: "inherit" });
  if (error !== undefined)
    console.error("code" in error && error.code === "ENOENT" ? MISSING : error.message);
  return status ?? 1;
}

function writeMended(file: string, target: string, idl: string): void {
  const text = readFileSync(file, "utf8").replace(
    "DO NOT EDIT UNLESS YOU ARE SURE THAT YOU KNOW WHAT YOU ARE DOING",
    `from ${idl}, mended by scripts/generate_thrift.ts. Do not edit: change the IDL and generate again.`,
  );
  const isTypes = file.endsWith(".d.ts");
  const name = basename(file).replace(/(\.d)?\.[jt]s$/, isTypes ? ".d.cts" : ".cjs");
  writeFileSync(join(target, name), isTypes ? mendTypes(text) : selfTypes(name) + mendCode(text));
  console.log(join(target, name));
}

/** Deno looks for declarations only where it is told. */
function selfTypes(name: string): string {
  return `// @ts-self-types="./${name.replace(".cjs", ".d.cts")}"\n`;
}

function mendCode(code: string): string {
  return (
    code
      // A dependency of npm thrift, which a project cannot count on.
      .replace("require('node-int64')", "thrift.Int64")
      .replace(/require\('(\.[^']+)'\)/g, "require('$1.cjs')")
      // Node finds the names of a CommonJS file's exports by their look.
      .replace(/^ttypes\.(\w+) = \{/gm, "ttypes.$1 = module.exports.$1 = {")
  );
}

function mendTypes(types: string): string {
  const structs = [...types.matchAll(/^declare class (\w+)/gm)].map(([, name]) => name!);
  return types
    .replace("import Q = thrift.Q;\n", "")
    .replace("import Int64 = require('node-int64');", "type Int64 = bigint | number | thrift.Int64;")
    .replace(/require\('(\.[^']+)'\)/g, "require('$1.cjs')")
    .replace(/\bBuffer\b/g, "Uint8Array")
    .replace(
      /^declare class (\w+)(.*) \{\n((?: {4}public .*\n)*)\n {6}constructor.*\n {2}\}/gm,
      (_, name: string, base: string, members: string) =>
        structType(name, base, members) + fieldsType(name, members, structs),
    );
}

function structType(name: string, base: string, members: string): string {
  return `declare class ${name}${base} {
${members}
    constructor(args?: ${name}Fields);
    read(input: thrift.TProtocol): void;
    write(output: thrift.TProtocol): void;
}
`;
}

/** The constructor makes structs of plain objects, and takes null and undefined for unset. */
function fieldsType(name: string, members: string, structs: readonly string[]): string {
  const nested = new RegExp(`\\b(${structs.join("|")})\\b`, "g");
  const fields = members.replace(
    / {4}public (\w+)(\??): (.*);/g,
    (_, field: string, optional: string, type: string) =>
      `    ${field}${optional}: ${type.replace(nested, "$1Fields")}${optional && " | null | undefined"};`,
  );
  return `\n/** What a new {@link ${name}} is given. */\ninterface ${name}Fields {\n${fields}}\n`;
}

process.exitCode = main(process.argv[2] ?? EXAMPLE);
