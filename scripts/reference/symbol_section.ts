/**
 * The section of one exported name.
 *
 * @module
 */
import type { Constructor, Declaration, DocSymbol, DocTag, JsDoc, Method, Property } from "./deno_doc.ts";
import type { Links, Scope } from "./links.ts";
import { paragraphs, splitDefault, table, tsBlock } from "./markdown.ts";
import {
  constructorCode,
  declarationCode,
  isPublic,
  memberCode,
  publicConstructors,
  wrapped,
} from "./signatures.ts";

/** What `extends` of an interface brings: the properties of the interfaces of `src` that it extends. */
export type InheritedOf = (declaration: Declaration) => readonly Property[];

/** What the sections are written with. */
export interface Writer {
  readonly links: Links;
  readonly inheritedOf: InheritedOf;
}

/** A name: heading, declaration, docstring, and its members. */
export function symbolSection({ name, declarations }: DocSymbol, page: string, writer: Writer): string {
  const scope = { page, owner: name };
  const [first] = declarations;
  const code = declarations.map((declaration) => declarationCode(name, declaration)).join("\n");
  return paragraphs(
    `### ${name}`,
    tsBlock(code),
    docText(declarations.find(({ jsDoc }) => jsDoc !== undefined)?.jsDoc, scope, writer.links),
    first?.kind === "class" ? classMembers(name, first, scope, writer) : undefined,
    first === undefined || first.kind === "class" ? undefined : memberTable(first, scope, writer),
  );
}

/** A docstring: its text, then what its tags say. */
export function docText(jsDoc: JsDoc = {}, scope: Scope, links: Links): string {
  const { doc, tags } = withTagsOfItsLines(jsDoc);
  const list = (kinds: readonly string[], line: (tag: DocTag) => string): string =>
    tags
      .filter(({ kind }) => kinds.includes(kind))
      .map(line)
      .join("\n");
  const text = (tag: DocTag): string => links.text(tag.doc, scope).replaceAll("\n", " ");
  const [returns] = tags.filter(({ kind, doc }) => kind === "return" && doc !== undefined);
  return paragraphs(
    links.text(doc, scope),
    list(["template", "param"], (tag) => `- \`${tag.name}\`: ${text(tag).replace(/^- /, "")}`),
    returns && `Returns ${text(returns)}.`,
    throwsText(tags, scope, links),
    ...tags.filter(({ kind }) => kind === "example").map(({ doc: code }) => links.text(code, scope)),
  );
}

/** A docstring of one line has its tags within it: `Deletes it. @throws {EventStorageError} it cannot be`. */
function withTagsOfItsLines({ doc = "", tags = [] }: JsDoc): {
  readonly doc: string;
  readonly tags: readonly DocTag[];
} {
  const [text = "", ...inLine] = doc.split(/(?:^|\s)@(?=(?:param|throws)\b)/);
  return { doc: text, tags: [...inLine.map(tagOf), ...tags] };
}

function tagOf(text: string): DocTag {
  const [, kind = "", error, name, doc] =
    /^(param|throws)\s*(?:\{(\w+)\}|(?<=param\s)(\w+))?\s*(.*)$/s.exec(text) ?? [];
  return {
    kind,
    ...(name !== undefined && { name }),
    ...(error !== undefined && { tsType: { kind: "typeRef", value: { typeName: error } } }),
    ...(doc !== undefined && { doc }),
  };
}

function throwsText(tags: readonly DocTag[], scope: Scope, links: Links): string | undefined {
  const all = tags.filter(({ kind }) => kind === "throws").map((tag) => thrown(tag, scope, links));
  if (all.length > 1) return `Throws\n\n${all.map((line) => `- ${line}`).join("\n")}`;
  return all.length === 1 ? `Throws ${all[0]}${all[0]!.endsWith(".") ? "" : "."}` : undefined;
}

function thrown({ tsType, doc }: DocTag, scope: Scope, links: Links): string {
  const text = links.errorText(doc, scope).replaceAll("\n", " ");
  if (tsType?.kind !== "typeRef") return text;
  const name = links.code(tsType.value.typeName, scope);
  return text === "" ? name : `${name}: ${text}`;
}

function classMembers(name: string, { def }: Declaration, scope: Scope, { links }: Writer): string {
  const methods = (def.methods ?? []).filter(isPublic);
  const getters = methods.filter(({ kind }) => kind === "getter");
  const properties = (def.properties ?? []).filter(isPublic);
  return paragraphs(
    constructorSection(name, publicConstructors(def.constructors), scope, links),
    propertyTable([...properties, ...getters], scope, links),
    ...methods
      .filter(({ kind, jsDoc }) => kind !== "getter" && jsDoc !== undefined)
      .map((method) => methodSection(name, method, scope, links)),
  );
}

/** Only with something to say: what an error is made of, its properties tell. */
function constructorSection(
  name: string,
  constructors: readonly Constructor[],
  scope: Scope,
  links: Links,
): string | undefined {
  if (constructors.every(({ jsDoc }) => jsDoc === undefined)) return undefined;
  const code = constructors.map((each) => wrapped(`${constructorCode(`new ${name}`, each)};`)).join("\n");
  const docs = constructors.flatMap(({ jsDoc }) =>
    jsDoc === undefined ? [] : [docText(jsDoc, scope, links)],
  );
  return paragraphs(`#### new ${name}`, tsBlock(code), ...docs);
}

function methodSection(name: string, method: Method, scope: Scope, links: Links): string {
  return paragraphs(
    `#### ${name}.${method.name}`,
    tsBlock(memberCode(method)),
    docText(method.jsDoc, scope, links),
  );
}

/** The members of an interface or of an object type. */
function memberTable(
  declaration: Declaration,
  scope: Scope,
  { links, inheritedOf }: Writer,
): string | undefined {
  const { def, kind } = declaration;
  const alias = def.tsType?.kind === "typeLiteral" ? def.tsType.value : {};
  const { properties = [], methods = [] } = kind === "interface" ? def : alias;
  return propertyTable([...inheritedOf(declaration), ...properties, ...methods], scope, links);
}

function propertyTable(
  members: readonly (Property | Method)[],
  scope: Scope,
  links: Links,
): string | undefined {
  const rows = members.flatMap((member) => memberRows(member, "", scope, links));
  if (rows.length === 0) return undefined;
  const hasDefaults = rows.some(({ fallback }) => fallback !== "");
  return table(
    hasDefaults ? ["member", "meaning", "default"] : ["member", "meaning"],
    rows.map(({ name, meaning, fallback }) => [name, meaning, ...(hasDefaults ? [fallback] : [])]),
  );
}

interface MemberRow {
  readonly name: string;
  readonly meaning: string;
  readonly fallback: string;
}

/** A member's row, if it has a docstring, and those of the members of its object type: `collector.url`. */
function memberRows(member: Property | Method, prefix: string, scope: Scope, links: Links): MemberRow[] {
  const path = prefix + member.name;
  const type = "tsType" in member ? (member as Property).tsType : undefined;
  const inner = type?.kind === "typeLiteral" ? (type.value.properties ?? []) : [];
  const { meaning, fallback } = splitDefault(docText(member.jsDoc, scope, links));
  return [
    ...(member.jsDoc === undefined ? [] : [{ name: `\`${path}\``, meaning, fallback }]),
    ...inner.flatMap((each) => memberRows(each, `${path}.`, scope, links)),
  ];
}
