/**
 * `eventspool-thrift`: the code of a Thrift IDL for an ESM project on Bun, Deno and Node, with types that fit it.
 *
 * The Apache Thrift compiler's output (`--gen js:node,es6,ts`) is CommonJS under a `.js` name, and its
 * declarations lack `read` and `write`, BigInt, and plain objects for nested structs. This corrects just that.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { ConfigurationError } from "../errors.ts";
import { calledAs, runVerb } from "./command.ts";
import { printError } from "./output.ts";
import { UsageError, type Verb } from "./queue/verb.ts";

const thrift: Verb = {
  summary: "generate the code and the types of a Thrift IDL, for an ESM project",
  args: "IDL_FILE",
  details:
    'Code is generated for IDL_FILE, such as event.thrift, and for the files that it includes. It needs the Apache Thrift compiler, "thrift", 0.17 or later.',
  options: {
    out: {
      type: "string",
      value: "DIR",
      help: "where the files are written (default: gen-nodejs beside IDL_FILE)",
      example: "src/gen",
      completes: "directory",
    },
    version: { type: "boolean", help: "print the version" },
  },
  examples: ["event.thrift", "--out src/gen event.thrift"],
  run({ values, args, output }) {
    const [idl, ...rest] = args;
    if (idl === undefined) throw new UsageError("no IDL file: name one, such as event.thrift.");
    if (rest.length > 0) throw new UsageError(`expected one IDL file, got ${args.join(" and ")}.`);
    for (const path of generateThriftCode(idl, values.out as string | undefined)) output.line(path);
    return 0;
  },
};

/** The command `eventspool-thrift`. */
export async function runThrift(): Promise<never> {
  const name = calledAs({ bin: "eventspool-thrift", script: "thrift" });
  return runVerb(name, thrift, { program: name, args: process.argv.slice(2) });
}

const MISSING = `the Apache Thrift compiler ("thrift") is not installed: apt-get install thrift-compiler (Debian, Ubuntu), dnf install thrift (Fedora) or brew install thrift (macOS).`;

/**
 * Generates the code of an IDL and of what it includes into `gen-nodejs` beside it, or into `target`: a `.cjs` and a
 * `.d.cts` file each. Needs the Apache Thrift compiler, 0.17 or later. Returns the paths of the files.
 *
 * @throws {ConfigurationError} the compiler is missing, or rejects the IDL, and has reported why on stderr
 */
function generateThriftCode(idl: string, target: string = join(dirname(idl), "gen-nodejs")): string[] {
  const scratch = mkdtempSync(join(tmpdir(), "eventspool-thrift-"));
  try {
    compile(idl, scratch);
    mkdirSync(target, { recursive: true });
    const sources = readdirSync(scratch)
      .filter((name) => !name.endsWith(".json"))
      .sort()
      .map((name): Source => {
        const text = readFileSync(join(scratch, name), "utf8").replace(WARNING, origin(idl));
        return { name, text: text + marksOf(name, scratch) };
      });
    const foreign = sources.flatMap(importedStructs);
    return sources.map((source) => writeAdapted(source, target, foreign)).sort();
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function compile(idl: string, directory: string): void {
  const args = ["-r", "--gen", "js:node,es6,ts", "--gen", "json", "-out", directory, idl];
  const { error, status, stdout, stderr } = spawnSync("thrift", args, { encoding: "utf8" });
  if (error !== undefined)
    throw new ConfigurationError("code" in error && error.code === "ENOENT" ? MISSING : error.message);
  for (const line of `${stdout}${stderr}`.split("\n").filter(Boolean)) printError(line);
  if (status !== 0) throw new ConfigurationError(`the Thrift compiler rejects ${idl}: see above.`);
}

/** A file that the compiler wrote, such as `event_types.d.ts`. */
interface Source {
  readonly name: string;
  readonly text: string;
}

const WARNING = "DO NOT EDIT UNLESS YOU ARE SURE THAT YOU KNOW WHAT YOU ARE DOING";

function origin(idl: string): string {
  return `from ${basename(idl)}, adapted by eventspool-thrift. Do not edit: change the IDL and generate again.`;
}

/** What the IDL says of a struct, and the generated code does not, for the serializer. */
function marksOf(name: string, directory: string): string {
  const [, idl] = /^(.*)_types\.js$/.exec(name) ?? [];
  if (idl === undefined) return "";
  const { structs } = JSON.parse(readFileSync(join(directory, `${idl}.json`), "utf8")) as DescribedIdl;
  return structs.map(markOf).join("");
}

/** The compiler's description of an IDL, as far as it is used. */
interface DescribedIdl {
  readonly structs: readonly {
    readonly name: string;
    readonly isUnion: boolean;
    readonly fields: readonly { readonly name: string; readonly required: string }[];
  }[];
}

function markOf({ name, isUnion, fields }: DescribedIdl["structs"][number]): string {
  const required = fields.filter((field) => field.required === "required").map((field) => field.name);
  const union = isUnion ? `module.exports.${name}.isUnion = true;\n` : "";
  return required.length === 0
    ? union
    : `${union}module.exports.${name}.requiredFields = ${JSON.stringify(required)};\n`;
}

/** The structs of a file, as the files that include it name them: `user_ttypes.User`. */
function importedStructs({ name, text }: Source): string[] {
  const [, idl] = /^(.*)_types\.d\.ts$/.exec(name) ?? [];
  return idl === undefined ? [] : structsOf(text).map((struct) => `${idl}_ttypes.${struct}`);
}

function structsOf(types: string): string[] {
  return [...types.matchAll(/^declare class (\w+)/gm)].map(([, name]) => name!);
}

function writeAdapted({ name, text }: Source, target: string, foreign: readonly string[]): string {
  const isTypes = name.endsWith(".d.ts");
  const adapted = name.replace(/(\.d)?\.[jt]s$/, isTypes ? ".d.cts" : ".cjs");
  const path = join(target, adapted);
  writeFileSync(path, isTypes ? adaptTypes(text, foreign) : selfTypes(adapted) + adaptCode(text));
  return path;
}

/** Deno finds declarations only by this comment. */
function selfTypes(name: string): string {
  return `// @ts-self-types="./${name.replace(".cjs", ".d.cts")}"\n`;
}

function adaptCode(code: string): string {
  return (
    code
      // A dependency of npm thrift, which a project cannot count on.
      .replace("require('node-int64')", "thrift.Int64")
      .replace(/require\('(\.[^']+)'\)/g, "require('$1.cjs')")
      // Node finds the names of a CommonJS file's exports by their look.
      .replace(/^ttypes\.(\w+) = \{/gm, "ttypes.$1 = module.exports.$1 = {")
  );
}

/** @param foreign the structs of all files as an includer names them */
function adaptTypes(types: string, foreign: readonly string[]): string {
  const structs = [...foreign, ...structsOf(types)];
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
  const nested = new RegExp(`(?<![\\w.])(${structs.join("|")})\\b`, "g");
  const fields = members.replace(
    / {4}public (\w+)(\??): (.*);/g,
    (_, field: string, optional: string, type: string) =>
      `    ${field}${optional}: ${type.replace(nested, "$1Fields")}${optional && " | null | undefined"};`,
  );
  return `\n/** What a new {@link ${name}} is given. */\ninterface ${name}Fields {\n${fields}}\n`;
}
