/**
 * Mutants of a source file: small changes that a test should notice. Types, and what a person reads (errors, logs), are
 * left alone: no test should depend on their words.
 */
import { type MemberExpression, type Node, parseSync, visitorKeys } from "oxc-parser";

/** One change: `text` instead of what is from `start` to `end`. */
export interface Mutant {
  readonly line: number;
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** What an operator becomes, in TypeScript and in SQL. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
  "&&": ["||"],
  "||": ["&&"],
  "+": ["-"],
  "-": ["+"],
  "*": ["/"],
  "/": ["*"],
  "%": ["*"],
  "+=": ["-="],
  "-=": ["+="],
  "++": ["--"],
  "--": ["++"],
  AND: ["OR"],
  OR: ["AND"],
  min: ["max"],
  max: ["min"],
};

const SQL = /\b(SELECT|INSERT|UPDATE|DELETE|WHERE)\b|[=<>] \?/;
const SQL_OPERATOR = /(?<=\s)(?:<=?|>=?|\+|-|AND|OR)(?=\s)|\b(?:min|max)(?=\()/g;

/** Calls that only write for a person. */
const LOG = /^(this\.)?#?log(ger)?\b|^log[A-Z]/;

/** Up to here one less is a mutant as well as one more: larger numbers are mostly tuned. */
const LARGEST_COUNT = 16;

/** All mutants of a source text, in its order. */
export function mutantsOf(source: string): Mutant[] {
  const mutants: Mutant[] = [];
  walk(parseSync("source.ts", source).program, (node) => {
    if (isForPeople(node, source)) return false;
    for (const [start, end, text] of changesOf(node, source))
      mutants.push({ line: source.slice(0, start).split("\n").length, start, end, text });
    return true;
  });
  return mutants.sort((a, b) => a.start - b.start);
}

/** The source with one mutant. */
export function mutate(source: string, { start, end, text }: Mutant): string {
  return source.slice(0, start) + text + source.slice(end);
}

/** Visits a node, and what is in it unless `visit` returns false. */
function walk(node: Node, visit: (node: Node) => boolean): void {
  if (!visit(node)) return;
  for (const key of visitorKeys[node.type] ?? []) {
    const child = (node as unknown as Record<string, Node | (Node | null)[] | null>)[key];
    for (const next of [child].flat()) if (next && !isType(next)) walk(next, visit);
  }
}

function isType({ type }: Node): boolean {
  return type.startsWith("TS") && !/^TS(As|NonNull|Satisfies)/.test(type);
}

function isForPeople(node: Node, source: string): boolean {
  switch (node.type) {
    case "ThrowStatement":
    case "ImportDeclaration":
      return true;
    case "NewExpression":
      return /Error$/.test(textOf(node.callee, source));
    case "ExpressionStatement":
      return LOG.test(textOf(node, source));
    default:
      return false;
  }
}

type Change = readonly [start: number, end: number, text: string];

type Changes = {
  readonly [Type in Node["type"]]?: (node: Extract<Node, { type: Type }>, source: string) => Change[];
};

const CHANGES: Changes = {
  BinaryExpression: (node, source) =>
    isText(node.left) || isText(node.right) ? [] : operatorChanges(node, source),
  AssignmentExpression: operatorChanges,
  LogicalExpression: (node, source) =>
    node.operator === "??" ? replace(node, textOf(node.left, source)) : operatorChanges(node, source),
  UpdateExpression: (node, source) =>
    replace(node, textOf(node, source).replace(node.operator, OPERATORS[node.operator]![0]!)),
  UnaryExpression: (node, source) =>
    node.operator === "!" ? replace(node, textOf(node.argument, source)) : [],
  AwaitExpression: (node, source) => replace(node, textOf(node.argument, source)),
  ConditionalExpression: ({ test }, source) => negate(test, source),
  IfStatement: (node, source) => [
    ...negate(node.test, source),
    ...(node.alternate === null ? replace(node, ";") : []),
  ],
  ExpressionStatement: (node) => replace(node, ";"),
  ReturnStatement: (node, source) =>
    /^return( undefined)?;?$/.test(textOf(node, source)) ? [] : replace(node, "return;"),
  MemberExpression: memberChanges,
  TemplateLiteral: (node, source) =>
    SQL.test(textOf(node, source)) ? node.quasis.flatMap((part) => sqlChanges(part, source)) : [],
  Literal: literalChanges,
};

function changesOf(node: Node, source: string): readonly Change[] {
  const changes = CHANGES[node.type] as ((node: Node, source: string) => Change[]) | undefined;
  return changes?.(node, source) ?? [];
}

function textOf({ start, end }: Node, source: string): string {
  return source.slice(start, end);
}

function isText(node: Node): boolean {
  return node.type === "TemplateLiteral" || (node.type === "Literal" && typeof node.value === "string");
}

function replace({ start, end }: Node, text: string): Change[] {
  return [[start, end, text]];
}

function negate(node: Node, source: string): Change[] {
  return replace(node, `!(${textOf(node, source)})`);
}

type Operation = Node & { left: Node; operator: string };

function operatorChanges({ left, operator }: Operation, source: string): Change[] {
  const start = source.indexOf(operator, left.end);
  return (OPERATORS[operator] ?? []).map((text) => [start, start + operator.length, text]);
}

/** `a?.b` becomes `a.b`, `Math.min` becomes `Math.max`. */
function memberChanges(node: MemberExpression, source: string): Change[] {
  const { object, property, optional, computed } = node;
  if (optional) return replace(node, textOf(node, source).replace("?.", computed ? "" : "."));
  const isMath = object.type === "Identifier" && object.name === "Math";
  return isMath ? (OPERATORS[textOf(property, source)] ?? []).flatMap((name) => replace(property, name)) : [];
}

function sqlChanges({ start, end }: Node, source: string): Change[] {
  return [...source.slice(start, end).matchAll(SQL_OPERATOR)].flatMap(({ 0: operator, index }) =>
    OPERATORS[operator]!.map((text): Change => [start + index, start + index + operator.length, text]),
  );
}

function literalChanges(node: Node & { value?: unknown }, source: string): Change[] {
  const { value } = node;
  if (typeof value === "boolean") return replace(node, String(!value));
  if (typeof value === "string") return SQL.test(value) ? sqlChanges(node, source) : [];
  if (typeof value !== "number") return [];
  const less = value >= 1 && value <= LARGEST_COUNT ? [value - 1] : [];
  return [value + 1, ...less].flatMap((changed) => replace(node, String(changed)));
}
