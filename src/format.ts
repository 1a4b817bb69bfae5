/** How things are shown to people. */

/** A table: columns as wide as their widest cell, numbers on the right. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  const isNumeric = header.map((_, column) => rows.every((row) => /^[\d.,-]/.test(row[column] ?? "-")));
  return all.map((row) =>
    row
      .map((cell, column) =>
        isNumeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join("  ")
      .trimEnd(),
  );
}

const AGE_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
] as const;

/** A duration in its two largest units: `3m 12s`; `-` where there is none. Never negative: clocks jump. */
export function formatDuration(durationMs: number | undefined): string {
  if (durationMs === undefined) return "-";
  const ms = Math.max(0, durationMs);
  const at = AGE_UNITS.findIndex(([, unitMs]) => ms >= unitMs);
  if (at === -1) return `${(ms / 1_000).toFixed(1)}s`;
  const [unit, unitMs] = AGE_UNITS[at]!;
  const [nextUnit, nextMs] = AGE_UNITS[at + 1] ?? [];
  const whole = `${Math.floor(ms / unitMs)}${unit}`;
  const rest = nextMs === undefined ? 0 : Math.floor((ms % unitMs) / nextMs);
  return rest === 0 ? whole : `${whole} ${rest}${nextUnit}`;
}

/** How long ago a moment was, in Unix milliseconds: `3m 12s ago`. */
export function formatAgo(atMs: number): string {
  return `${formatDuration(Date.now() - atMs)} ago`;
}

/** A file's permissions as `ls` and `chmod` write them: `0640`. */
export function formatMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

const SIZE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A size: `310 B`, `1.2 MiB`. */
export function formatSize(bytes: number): string {
  const power = Math.min(SIZE_UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1_024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${SIZE_UNITS[power]}`;
}

/** C0 and C1, what turns the direction of text, what ends a line or hides in it, and halves of characters. */
const CONTROLS = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}\ufeff]/gu;

/**
 * Foreign text with each character that could change how a terminal or a page shows the rest written as an escape,
 * `\u001b`. A JSON text on one line keeps its meaning: there such characters can only be within strings.
 *
 * @param kept characters to leave as they are, such as line feeds
 */
export function escapeControls(text: string, kept: string = ""): string {
  return text.replaceAll(CONTROLS, (char) =>
    kept.includes(char) ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A text on one line, cut off at `maxChars`: line ends and tabs are spaces, other controls are escapes. */
export function oneLine(text: string, maxChars: number = Number.POSITIVE_INFINITY): string {
  const line = escapeControls(text.replaceAll(/[\t\n\v\f\r\u0085\u2028\u2029]+/g, " "));
  return line.length <= maxChars ? line : `${line.slice(0, maxChars - 3)}...`;
}

/** Words as alternatives: `a, b or c`. */
export function anyOf(words: readonly unknown[]): string {
  return words.join(", ").replace(/, (?=[^,]*$)/, " or ");
}

/** A word of a command line, as a shell reads it back. */
export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A count with its noun: `1 event`, `2 events`. @param format writes the count */
export function countOf(count: number, noun: string, format: (count: number) => string = String): string {
  return `${format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** A time for programs: ISO 8601; null where there is none. */
export function isoTime(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString();
}

/** The age of something in seconds, for programs; null where there is none. Never negative: the clock may have been set back. */
export function ageSeconds(sinceMs: number | undefined): number | null {
  return sinceMs === undefined ? null : Math.max(0, Date.now() - sinceMs) / 1_000;
}

/** The longest number or name of a class shown, in characters. */
const MAX_SHOWN_CHARS = 40;

/** The value if it is a number or a constant, else its type. */
export function describe(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean" || value == null) return String(value);
  if (typeof value === "bigint") return abbreviate(`${value}n`, MAX_SHOWN_CHARS);
  return typeof value === "object" ? `an object (${className(value)})` : `a ${typeof value}`;
}

/** The name of an object's class; not what its own `constructor` says, which may be a text of the event. */
function className(object: object): string {
  try {
    const name: unknown = Object.getPrototypeOf(object)?.constructor?.name;
    return typeof name === "string" && name !== "" ? abbreviate(name, MAX_SHOWN_CHARS) : "without prototype";
  } catch {
    return "that cannot be read";
  }
}

/** The name of what was thrown. Its message may quote the event. */
export function errorName(error: unknown): string {
  return typeof error === "object" && error !== null ? className(error) : describe(error);
}

export function abbreviate(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars)}...`;
}

/** What is in an event's body. */
export interface DecodedBody {
  /** Its JSON text on one line, digit for digit; undefined when it is not JSON in UTF-8. */
  readonly json: string | undefined;
  /** The text, or what can be read of it. */
  readonly text: string;
}

/** Nothing is replaced, and a byte order mark, which JSON does not have, is not passed over. */
const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of an event's body if it is JSON in UTF-8, unchanged; undefined: it is not. */
export function jsonText(body: Uint8Array): string | undefined {
  try {
    const text = UTF_8.decode(body);
    JSON.parse(text);
    return text;
  } catch {
    return undefined;
  }
}

/** Decodes an event's body. A line feed or a tab in valid JSON is white space, and may as well be a space. */
export function decodeBody(body: Uint8Array): DecodedBody {
  const json = jsonText(body);
  const text = json ?? new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  return { json: json?.replaceAll(/[\t\r\n]+/g, " ").trim(), text };
}

const LINE_FEED = 0x0a;
const SPACE = 0x20;

/** The bytes of a JSON text on one line: a raw line feed in it is white space, and may as well be a space. */
export function lineOf(body: Uint8Array): Uint8Array {
  return body.includes(LINE_FEED) ? body.map((byte) => (byte === LINE_FEED ? SPACE : byte)) : body;
}

/**
 * One line of JSON with an event in it: `"event"` is the event as it was put, or `"event_base64"` its bytes
 * where it is not JSON. Not by JSON.stringify, which would damage integers beyond 2^53, as Thrift's i64 has.
 */
export function eventJson(fields: object, body: Uint8Array): string {
  const { json } = decodeBody(body);
  if (json === undefined)
    return JSON.stringify({ ...fields, event_base64: Buffer.from(body).toString("base64") });
  return `${JSON.stringify(fields).slice(0, -1)},"event":${json}}`;
}

/** The most letters by which a misspelt word may differ; also at most half of its letters. */
const MAX_DISTANCE = 3;

/** A word of this length may be the beginning of the one that was meant, such as `timeout` of `timeoutMs`. */
const MIN_PREFIX_CHARS = 4;

/** The candidate that `word` most likely misspells or begins, if there is one: for "did you mean". */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const all = [...candidates];
  return (
    nearest(word, all) ??
    (word.length < MIN_PREFIX_CHARS ? undefined : all.find((one) => one.startsWith(word)))
  );
}

function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  const maxDistance = Math.min(MAX_DISTANCE, Math.floor(word.length / 2));
  let bestDistance = maxDistance + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > maxDistance) continue;
    const distance = editDistance(word, candidate);
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** The number of letters to insert, delete or replace to turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
