/**
 * HTML as values: whatever is not markup already is escaped.
 *
 * @module
 */
import { html as honoHtml, raw as honoRaw } from "hono/html";

/** Text that may stand in a page as it is. */
export type Markup = ReturnType<typeof honoRaw>;

/** Markup of a template; what is put into it is escaped. Nothing in it may be a promise: then it is made at once. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => Markup = honoHtml as never;

/** Takes a text of our own for markup. */
export const raw: (text: string) => Markup = honoRaw;
