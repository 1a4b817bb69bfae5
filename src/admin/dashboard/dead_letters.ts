/** The dead letters on the page. */
import { basename, dirname } from "node:path";
import { decodeBody, escapeControls, formatSize, oneLine, shellQuoted } from "../../format.ts";
import {
  type DeadLetter,
  type DeadLetterGroup,
  type DeadLetterSummary,
  reasonOf,
} from "../../storage/dead_letters.ts";
import { DEFAULT_SUBSCRIPTION } from "../../storage/subscriptions.ts";
import { formatCount, html, type Markup, plural, timeOf } from "./markup.ts";
import type { WatchedPublisher } from "./snapshot.ts";

/** How much of an event the dashboard shows, in characters; `eventspool dead show` has the rest. */
const DASHBOARD_EVENT_CHARS = 4_000;

/** How much of a response the line of a dead letter shows, in characters. */
const RESPONSE_CHARS = 200;

/** Characters that a block of text shows as they are: it may have lines. */
const LINES = "\n\t";

/** Makes the list of dead letters, and each entry once: a dead letter never changes. */
export class DeadLetterList {
  readonly #read: (id: number) => DeadLetter | undefined;
  /** Whether the page may show events and responses. */
  readonly #isTrusted: boolean;
  /** The options that name the queue for the command. */
  readonly #location: string;
  #entries: ReadonlyMap<string, Markup> = new Map();
  /** The keys of the groups by their reasons, which not everybody may see. */
  #groupKeys: ReadonlyMap<string, string> = new Map();
  #groupCount = 0;

  constructor({ queue, file, subscription, deadLetters }: WatchedPublisher, isTrusted: boolean) {
    this.#read = (id) => deadLetters.get(id);
    this.#isTrusted = isTrusted;
    const isOutbox = basename(file) !== `events-${queue}.db`;
    this.#location =
      (isOutbox
        ? `--file ${shellQuoted(file)}`
        : `--queue-name ${queue} --directory ${shellQuoted(dirname(file))}`) +
      (subscription === DEFAULT_SUBSCRIPTION ? "" : ` --subscription ${subscription}`);
  }

  /** The entries of single dead letters, in their order. @param letters one page of them */
  entries(letters: readonly DeadLetterSummary[]): Markup {
    return this.#list(letters.map((letter) => [`${letter.id}`, () => this.#single(letter)]));
  }

  /** The entries of groups, in their order; a group of one is a single dead letter. */
  groups(groups: readonly DeadLetterGroup[]): Markup {
    const keyOf = (reason: string): string => this.#groupKeys.get(reason) ?? `group-${++this.#groupCount}`;
    this.#groupKeys = new Map(
      groups.map(({ newest }) => reasonOf(newest)).map((reason) => [reason, keyOf(reason)]),
    );
    return this.#list(
      groups.map(({ count, newest, ...group }) =>
        count === 1
          ? [`${newest.id}`, () => this.#single(newest)]
          : [`${newest.id} of ${count}`, () => this.#group({ count, newest, ...group })],
      ),
    );
  }

  #list(makers: readonly (readonly [key: string, make: () => Markup])[]): Markup {
    const entries = new Map<string, Markup>();
    for (const [key, make] of makers) entries.set(key, this.#entries.get(key) ?? make());
    this.#entries = entries;
    return html`${[...entries.values()]}`;
  }

  #single(letter: DeadLetterSummary): Markup {
    const { id, deadAtMs } = letter;
    return this.#entry({
      ...letter,
      key: `${id}`,
      about: html`event ${id}, ${timeOf(deadAtMs)}`,
      inside: html`${facts(letter)}
${
  this.#isTrusted &&
  html`${this.#event(id)}
${actions(id)}`
}`,
    });
  }

  /** Its key stays the same while it grows: the page updates the line of an open group, and leaves it open. */
  #group({ count, status, response, firstDeadAtMs, newest }: DeadLetterGroup): Markup {
    return this.#entry({
      status,
      response,
      key: this.#groupKeys.get(reasonOf(newest))!,
      about: html`<strong class="times">${plural(count, "event")}</strong>, last ${timeOf(newest.deadAtMs)}`,
      inside: html`<p class="note">The first was rejected ${timeOf(firstDeadAtMs)}. The newest is event ${newest.id}:</p>
${facts(newest)}
${
  this.#isTrusted &&
  html`${this.#event(newest.id)}
${groupActions(newest.id)}`
}`,
    });
  }

  #entry({ key, status, response, about, inside }: Entry): Markup {
    const shown = this.#isTrusted ? oneLine(response, RESPONSE_CHARS) || "(empty)" : "not shown";
    return html`
<li data-key="${key}">
<details class="letter">
<summary><span class="code">${status}</span> <bdi class="response">${shown}</bdi> <span class="meta">${about}</span></summary>
<div class="inside">
${inside}
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
${isCut && html`<p class="note">The first ${formatCount(DASHBOARD_EVENT_CHARS)} characters. All of it: <code>eventspool dead show ${id} ${this.#location}</code></p>`}
<h3 id="response-${id}">The response</h3>
<pre tabindex="0" aria-labelledby="response-${id}"><bdi>${escapeControls(letter.response, LINES) || "(empty)"}</bdi></pre>`;
  }
}

/** A line of the list, and what it opens. */
interface Entry {
  readonly key: string;
  readonly status: number;
  readonly response: string;
  readonly about: Markup;
  readonly inside: Markup;
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
<button class="danger" form="purge" name="id" value="${id}" aria-label="Delete event ${id}">Delete</button></details>
</div>`;
}

/** For all with the reason of one of them. */
function groupActions(id: number): Markup {
  return html`<div class="actions">
<button form="retry" name="like" value="${id}">Retry all of this reason</button>
<details class="confirm"><summary>Purge all of this reason…</summary>
<button class="danger" form="purge" name="like" value="${id}">Delete all of this reason</button></details>
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
