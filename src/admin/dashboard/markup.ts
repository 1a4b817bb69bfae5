/** HTML as values: everything that is not markup is escaped. */
import { html as honoHtml, raw as honoRaw } from "hono/html";
import { countOf } from "../../format.ts";

/** Text that a page shows unescaped. */
export type Markup = ReturnType<typeof honoRaw>;

/** The markup of a template; its values are escaped. They must not be promises, so the result is not one either. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => Markup = honoHtml as never;

/** Treats a text of our own as markup. */
export const raw: (text: string) => Markup = honoRaw;

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A count: `12,345`. */
export function formatCount(count: number): string {
  return WHOLE.format(count);
}

/** A rate: `0`, `0.4`, `12,345`. */
export function formatRate(rate: number): string {
  return rate > 0 && rate < 10 ? TENTHS.format(rate) : WHOLE.format(rate);
}

/** A share of 1: `0 %`, `< 1 %`, `42 %`. Never rounded up to 100. */
export function formatShare(share: number): string {
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${Math.floor(100 * share)} %`;
}

/** A time, in UTC; the page's script shows how long ago it was. */
export function timeOf(atMs: number): Markup {
  const iso = new Date(atMs).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace("T", " ")} UTC</time>`;
}

/** `1 event`, `12,345 events`. */
export function plural(count: number, noun: string): string {
  return countOf(count, noun, formatCount);
}
