/**
 * Declarations as TypeScript, as a .d.ts file has them.
 *
 * @module
 */
import type { Constructor, Declaration, Method, Property } from "./deno_doc.ts";
import {
  argumentsText,
  memberTexts,
  methodText,
  propertyText,
  signatureText,
  typeParamsText,
  typeText,
} from "./ts_type.ts";

const MAX_LINE_CHARS = 100;

/** A declaration in full. */
export function declarationCode(name: string, { kind, def }: Declaration): string {
  switch (kind) {
    case "class":
      return classCode(name, def);
    case "interface":
      return `interface ${name}${typeParamsText(def.typeParams)}${extendsText(def.extends)} {\n${lines(memberTexts(def))}}`;
    case "typeAlias":
      return `type ${name}${typeParamsText(def.typeParams)} = ${typeText(def.tsType!)};`;
    case "function":
      return wrapped(`${signatureText(`function ${name}`, { params: [], ...def })};`);
    case "variable":
      return constantCode(name, def);
    default:
      throw new Error(`${name} is a ${kind}, which scripts/reference/signatures.ts cannot write yet.`);
  }
}

function constantCode(name: string, { tsType }: Declaration["def"]): string {
  if (tsType?.kind === "literal" && tsType.value.number !== undefined)
    return `const ${name} = ${String(tsType.value.number).replace(/\B(?=(\d{3})+$)/g, "_")};`;
  return `const ${name}: ${tsType === undefined ? "unknown" : typeText(tsType)};`;
}

function classCode(name: string, def: Declaration["def"]): string {
  const heritage = [extendsText(def.extends, def.superTypeParams), implementsText(def.implements)].join("");
  const { properties = [], methods = [] } = def;
  const members = [
    ...publicConstructors(def.constructors).map((each) => constructorCode("constructor", each)),
    ...properties.filter((each) => isPublic(each) && !isErrorName(each)).map(propertyText),
    ...methods.filter(isPublic).map(methodText),
  ];
  return `class ${name}${typeParamsText(def.typeParams)}${heritage} {\n${lines(members)}}`;
}

function extendsText(
  parents: Declaration["def"]["extends"],
  args: Declaration["def"]["superTypeParams"] = [],
): string {
  if (parents === undefined || parents.length === 0) return "";
  const text = typeof parents === "string" ? parents + argumentsText(args) : parents.map(typeText).join(", ");
  return ` extends ${text}`;
}

function implementsText(types: Declaration["def"]["implements"] = []): string {
  return types.length === 0 ? "" : ` implements ${types.map(typeText).join(", ")}`;
}

/** Those that can be called: with overloads, the one with the body cannot. */
export function publicConstructors(constructors: readonly Constructor[] = []): Constructor[] {
  const all = constructors.filter(isPublic);
  return all.length > 1 ? all.filter(({ hasBody }) => hasBody !== true) : all;
}

/** Whether users see a member. */
export function isPublic({ accessibility }: Pick<Constructor, "accessibility">): boolean {
  return accessibility === undefined || accessibility === "public";
}

/** `override name = "EventError"` says nothing new of an error. */
function isErrorName({ name, jsDoc }: Property): boolean {
  return name === "name" && jsDoc === undefined;
}

/** `new EventQueue(name: string)`, or with another word before the parameters. */
export function constructorCode(word: string, { params }: Constructor): string {
  return signatureText(word, { params });
}

/** A member by itself. */
export function memberCode(member: Method | Property): string {
  return wrapped(`${methodText(member as Method)};`);
}

function lines(members: readonly string[]): string {
  return members.map((member) => `${wrapped(`${member};`, "  ")}\n`).join("");
}

/** A signature, with a parameter a line if it is too long for one. */
export function wrapped(code: string, indent = ""): string {
  const open = code.indexOf("(");
  if (indent.length + code.length <= MAX_LINE_CHARS || open < 0) return indent + code;
  const [params, rest] = splitParams(code.slice(open + 1));
  if (params.length === 0) return indent + code;
  const body = params.map((param) => `${indent}  ${param},\n`).join("");
  return `${indent}${code.slice(0, open + 1)}\n${body}${indent}${rest}`;
}

/** The parameters of what follows an opening parenthesis, and the rest from the closing one on. */
function splitParams(code: string): [string[], string] {
  const params: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < code.length; at++) {
    const isEnd = code[at] === ")" && depth === 0;
    if (isEnd || (code[at] === "," && depth === 0)) {
      params.push(code.slice(from, at).trim());
      from = at + 1;
    }
    if (isEnd) return [params.filter((param) => param !== ""), code.slice(at)];
    depth += depthChange(code, at);
  }
  return [[], code];
}

function depthChange(code: string, at: number): number {
  const char = code[at]!;
  if ("([{<".includes(char)) return 1;
  const isArrow = char === ">" && code[at - 1] === "=";
  return ")]}>".includes(char) && !isArrow ? -1 : 0;
}
