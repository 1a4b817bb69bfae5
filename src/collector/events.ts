import { HTTPException } from "hono/http-exception";

/** The formats of a batch: `2` is a list of Thrift structs in JSON, `2j` an array of any JSON. */
export type BatchVersion = "2" | "2j";

/** What stands around a batch's events; `count` is how many it says there are. */
const FRAMES: Record<BatchVersion, RegExp> = {
  "2": /^\s*\{\s*"1"\s*:\s*\{\s*"lst"\s*:\s*\[\s*"rec"\s*,\s*(?<count>\d+)\s*(?:,(?<events>.*))?\]\s*\}\s*\}\s*$/s,
  "2j": /^\s*\[(?<events>.*)\]\s*$/s,
};

/**
 * The events of a batch, each in the very characters it was sent in: parsing and writing them
 * anew would damage integers beyond 2^53, which Thrift's i64 has.
 *
 * @throws {HTTPException} 400 when the body is not UTF-8, not JSON, or not a batch.
 */
export function parseEvents(body: Uint8Array, version: BatchVersion): string[] {
  const text = decodeJson(body);
  const frame = FRAMES[version].exec(text)?.groups;
  const events = frame && splitElements(frame.events ?? "");
  if (!events) throw new HTTPException(400, { message: `The body is not a version ${version} batch.` });
  const count = Number(frame.count ?? events.length);
  if (count !== events.length)
    throw new HTTPException(400, { message: `The list says ${count} events and holds ${events.length}.` });
  return events;
}

function decodeJson(body: Uint8Array): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new HTTPException(400, { message: "The body is not JSON in UTF-8.", cause: error });
  }
}

/**
 * Splits what stands between the brackets of a JSON array, valid JSON as a whole, at the commas of
 * its top level. Undefined when it closes more than it opens: then the brackets were not a pair.
 */
export function splitElements(text: string): string[] | undefined {
  const elements: string[] = [];
  let start = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"') at = findClosingQuote(text, at);
    else if (char === "[" || char === "{") depth++;
    else if (char === "]" || char === "}") depth--;
    else if (char === "," && depth === 0) {
      elements.push(text.slice(start, at).trim());
      start = at + 1;
    }
    if (depth < 0) return undefined;
  }
  const last = text.slice(start).trim();
  return last === "" ? elements : [...elements, last];
}

function findClosingQuote(text: string, openingQuote: number): number {
  let at = openingQuote + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
