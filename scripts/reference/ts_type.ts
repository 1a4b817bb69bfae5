/**
 * Writes the types of `deno doc --json` as TypeScript.
 *
 * @module
 */
import type { Method, Param, Property, Signature } from "./deno_doc.ts";

/** A type parameter: `T extends object = {}`. */
export interface TypeParam {
  readonly name: string;
  readonly constraint?: TsType;
  readonly default?: TsType;
}

/** An object type. */
export interface TypeLiteral {
  readonly properties?: readonly Property[];
  readonly methods?: readonly Method[];
  readonly callSignatures?: readonly Signature[];
  readonly indexSignatures?: readonly { readonly params: readonly Param[]; readonly tsType?: TsType }[];
}

interface Literal {
  readonly kind: string;
  readonly string?: string;
  readonly number?: number;
  readonly boolean?: boolean;
}

interface Ref {
  readonly typeName: string;
  readonly typeParams?: readonly TsType[];
}

/** A type, as far as the sources' exports have such. */
export type TsType =
  | { readonly kind: "array" | "parenthesized" | "rest" | "optional"; readonly value: TsType }
  | { readonly kind: "fnOrConstructor"; readonly value: FunctionType }
  | {
      readonly kind: "indexedAccess";
      readonly value: { readonly objType: TsType; readonly indexType: TsType };
    }
  | { readonly kind: "keyword" | "typeQuery"; readonly value: string }
  | { readonly kind: "literal"; readonly value: Literal; readonly repr?: string }
  | { readonly kind: "this" }
  | { readonly kind: "typeLiteral"; readonly value: TypeLiteral }
  | { readonly kind: "typeOperator"; readonly value: { readonly operator: string; readonly tsType: TsType } }
  | { readonly kind: "typePredicate"; readonly value: unknown; readonly repr: string }
  | { readonly kind: "typeRef"; readonly value: Ref }
  | { readonly kind: "union" | "intersection" | "tuple"; readonly value: readonly TsType[] };

interface FunctionType {
  readonly constructor: boolean;
  readonly tsType: TsType;
  readonly params: readonly Param[];
  readonly typeParams?: readonly TypeParam[];
}

/** A type in TypeScript, on one line. @throws Error for a kind of type that it does not know */
export function typeText(type: TsType): string {
  switch (type.kind) {
    case "keyword":
      return type.value;
    case "typeQuery":
      return `typeof ${type.value}`;
    case "typePredicate":
      return type.repr;
    case "this":
      return "this";
    case "literal":
      return literalText(type.value, type.repr);
    case "typeRef":
      return type.value.typeName + argumentsText(type.value.typeParams);
    case "typeLiteral":
      return literalTypeText(type.value);
    case "fnOrConstructor":
      return functionText(type.value);
    default:
      return composedText(type);
  }
}

function composedText(type: TsType): string {
  switch (type.kind) {
    case "array":
      return `${typeText(type.value)}[]`;
    case "parenthesized":
      return `(${typeText(type.value)})`;
    case "optional":
      return `${typeText(type.value)}?`;
    case "rest":
      return `...${typeText(type.value)}`;
    case "union":
      return type.value.map(typeText).join(" | ");
    case "intersection":
      return type.value.map(typeText).join(" & ");
    case "tuple":
      return `[${type.value.map(typeText).join(", ")}]`;
    case "typeOperator":
      return `${type.value.operator} ${typeText(type.value.tsType)}`;
    case "indexedAccess":
      return `${typeText(type.value.objType)}[${typeText(type.value.indexType)}]`;
    default:
      throw new Error(`There is a ${type.kind} type, which scripts/reference/ts_type.ts cannot write yet.`);
  }
}

function literalText({ kind, string, number, boolean }: Literal, repr = ""): string {
  if (kind === "string") return JSON.stringify(string);
  if (kind === "number") return String(number);
  return kind === "boolean" ? String(boolean) : `\`${repr}\``;
}

function functionText({ constructor: isConstructor, tsType, params, typeParams }: FunctionType): string {
  const text = `${typeParamsText(typeParams)}(${paramsText(params)}) => ${typeText(tsType)}`;
  return isConstructor ? `new ${text}` : text;
}

function literalTypeText(literal: TypeLiteral): string {
  const members = memberTexts(literal);
  return members.length === 0 ? "{}" : `{ ${members.join("; ")} }`;
}

/** The members of an object type or an interface, each as TypeScript without its semicolon. */
export function memberTexts(type: TypeLiteral): string[] {
  const { callSignatures = [], indexSignatures = [], properties = [], methods = [] } = type;
  return [
    ...callSignatures.map((signature) => signatureText("", signature)),
    ...indexSignatures.map(({ params, tsType }) => `[${paramsText(params)}]${annotation(tsType)}`),
    ...properties.map(propertyText),
    ...methods.map(methodText),
  ];
}

/** `readonly name?: string` */
export function propertyText({ name, readonly, optional, isStatic, tsType }: Property): string {
  const modifiers = [isStatic && "static ", readonly && "readonly "].filter(Boolean).join("");
  return `${modifiers}${name}${optional ? "?" : ""}${annotation(tsType)}`;
}

/** `put(event: T): void` */
export function methodText(method: Method): string {
  const { name, kind, isStatic, optional, functionDef } = method;
  const signature = functionDef ?? { params: [], ...method };
  if (kind === "getter") return `readonly ${name}${annotation(signature.returnType)}`;
  return signatureText(`${isStatic ? "static " : ""}${name}${optional ? "?" : ""}`, signature);
}

/** `NAME<T>(a: A): B` */
export function signatureText(name: string, { params, returnType, typeParams }: Signature): string {
  return `${name}${typeParamsText(typeParams)}(${paramsText(params)})${annotation(returnType)}`;
}

/** `<T extends object>`, or nothing. */
export function typeParamsText(params: readonly TypeParam[] = []): string {
  const texts = params.map((param) => {
    const constraint = param.constraint === undefined ? "" : ` extends ${typeText(param.constraint)}`;
    return `${param.name}${constraint}${param.default === undefined ? "" : ` = ${typeText(param.default)}`}`;
  });
  return texts.length === 0 ? "" : `<${texts.join(", ")}>`;
}

/** `<A, B>`, or nothing. */
export function argumentsText(types: readonly TsType[] = []): string {
  return types.length === 0 ? "" : `<${types.map(typeText).join(", ")}>`;
}

function paramsText(params: readonly Param[]): string {
  return params.map(paramText).join(", ");
}

function paramText(param: Param): string {
  const { kind, left, arg, tsType } = param;
  if (kind === "assign" && left !== undefined) return paramText({ ...left, optional: true });
  if (kind === "rest" && arg !== undefined) return `...${arg.name ?? "rest"}${annotation(tsType)}`;
  return `${param.name ?? "options"}${param.optional ? "?" : ""}${annotation(tsType)}`;
}

function annotation(type: TsType | undefined): string {
  return type === undefined ? "" : `: ${typeText(type)}`;
}
