/**
 * The dead letters on the page.
 *
 * @module
 */
import { decodeBody, escapeControls, formatSize, oneLine } from "../../format.ts";
import type { DeadLetter, DeadLetterSummary } from "../../storage/dead_letters.ts";
import { formatCount, html, type Markup, timeOf } from "./markup.ts";

/** How much of an event the dashboard shows, in characters; `queue dead show` has the rest. */
const DASHBOARD_EVENT_CHARS = 4_000;

/** How much of a response stands in the one line of a dead letter, in characters. */
const RESPONSE_CHARS = 200;

/** What is shown in a block as it is: it may have lines. */
const LINES = "\n\t";

/** Makes the list of dead letters, and each entry only once: a dead letter never changes. */
export class DeadLetterList {
  readonly #read: (id: number) => DeadLetter | undefined;
  readonly #isTrusted: boolean;
  #entries: ReadonlyMap<number, Markup> = new Map();

  /**
   * @param read finds one with its body
   * @param isTrusted whether the page may show events and answers
   */
  constructor(read: (id: number) => DeadLetter | undefined, isTrusted: boolean) {
    this.#read = read;
    this.#isTrusted = isTrusted;
  }

  /** The entries of a list, in their order. @param letters one page of them */
  entries(letters: readonly DeadLetterSummary[]): Markup {
    const entries = new Map<number, Markup>();
    for (const letter of letters) entries.set(letter.id, this.#entries.get(letter.id) ?? this.#entry(letter));
    this.#entries = entries;
    return html`${[...entries.values()]}`;
  }

  #entry(letter: DeadLetterSummary): Markup {
    const response = this.#isTrusted ? oneLine(letter.response, RESPONSE_CHARS) || "(no words)" : "not shown";
    return html`
<li data-key="${letter.id}">
<details class="letter">
<summary><span class="code">${letter.status}</span> <bdi class="response">${response}</bdi> <span class="meta">event ${letter.id}, ${timeOf(letter.deadAtMs)}</span></summary>
<div class="inside">
${facts(letter)}
${this.#isTrusted && this.#event(letter.id)}
</div>
</details>
</li>`;
  }

  #event(id: number): Markup {
    const letter = this.#read(id);
    if (letter === undefined) return html`<p>It was retried or purged meanwhile.</p>`;
    const { json, text } = decodeBody(letter.body);
    const shown = (json ?? text).slice(0, DASHBOARD_EVENT_CHARS);
    const isCut = shown.length < (json ?? text).length;
    return html`<h3 id="event-${id}">Event${json === undefined && ", which is not JSON"}</h3>
<pre tabindex="0" aria-labelledby="event-${id}"><bdi>${escapeControls(json === undefined ? shown : indentJson(shown), LINES)}</bdi></pre>
${isCut && html`<p class="note">The first ${formatCount(DASHBOARD_EVENT_CHARS)} characters. All of it: <code>eventspool dead show ${id}</code></p>`}
<h3 id="response-${id}">The collector's response</h3>
<pre tabindex="0" aria-labelledby="response-${id}"><bdi>${escapeControls(letter.response, LINES) || "(no words)"}</bdi></pre>
${actions(id)}`;
  }
}

function facts({ id, putAtMs, deadAtMs, attempts, status, sizeBytes }: DeadLetterSummary): Markup {
  return html`<dl class="facts">
<div><dt>Event</dt><dd>${id}</dd></div>
<div><dt>Status</dt><dd>${status}</dd></div>
<div><dt>Put</dt><dd>${timeOf(putAtMs)}</dd></div>
<div><dt>Rejected</dt><dd>${timeOf(deadAtMs)}</dd></div>
<div><dt>Attempts</dt><dd>${attempts}</dd></div>
<div><dt>Size</dt><dd>${formatSize(sizeBytes)}</dd></div>
</dl>`;
}

/** The forms are the page's: an entry that comes later needs to know neither where the page is nor its form token. */
function actions(id: number): Markup {
  return html`<div class="actions">
<button form="retry" name="id" value="${id}" aria-label="Retry event ${id}">Retry</button>
<details class="confirm"><summary aria-label="Purge event ${id}">Purge…</summary>
<button class="danger" form="purge" name="id" value="${id}" aria-label="Delete for good: event ${id}">Delete for good</button></details>
</div>`;
}

/** How deep the indentation goes; deeper levels stay there, or a hostile event would fill the page with spaces. */
const MAX_LEVELS = 12;

/** A string, whole or cut off at the end; a bracket that opens and closes at once; any other single character of structure; the rest. */
const TOKENS = /"(?:[^"\\]|\\.)*(?:"|\\?$)|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/gs;

/**
 * Breaks and indents a JSON text, digit for digit: JSON.parse would damage integers beyond 2^53. A text that was
 * cut off is taken as far as it goes.
 */
export function indentJson(text: string): string {
  let level = 0;
  let out = "";
  const newLine = (): string => `\n${"  ".repeat(Math.min(level, MAX_LEVELS))}`;
  for (const [token] of text.matchAll(TOKENS)) {
    if (/^[{[]\s*[\]}]$/.test(token)) out += token.at(0)! + token.at(-1)!;
    else if (token === "{" || token === "[") {
      level++;
      out += token + newLine();
    } else if (token === "}" || token === "]") {
      level = Math.max(0, level - 1);
      out += newLine() + token;
    } else if (token === ",") out += token + newLine();
    else out += token === ":" ? ": " : token;
  }
  return out;
}
