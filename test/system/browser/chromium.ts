import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";

/** Debian's Chromium. */
const CHROMIUM = "/usr/bin/chromium";

/** Why no browser can be driven here; false: one can. */
export const noBrowser: string | false =
  !existsSync(CHROMIUM) && `there is no ${CHROMIUM}: apt-get install chromium`;

/** Without a network but loopback's, and without a GPU or a profile of its own. */
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long a page may take on a slow and busy machine, in milliseconds: longer means that it hangs. */
const PAGE_TIMEOUT_MS = 150_000;

let browser: Promise<Browser> | undefined;

/** One page for all tests of a file, with and one without JavaScript: a browser and a page cost more than most tests. */
const pages = new Map<boolean, Promise<Page>>();

after(async () => (await browser)?.close());

function startBrowser(): Promise<Browser> {
  // By require, since Deno does not see the names that the package's ES module re-exports.
  const { chromium } = createRequire(import.meta.url)("playwright-core") as typeof import("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS, timeout: PAGE_TIMEOUT_MS });
}

async function newPage(javaScriptEnabled: boolean): Promise<Page> {
  browser ??= startBrowser();
  const context = await (await browser).newContext({ javaScriptEnabled, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(PAGE_TIMEOUT_MS);
  await context.addInitScript(
    `addEventListener("securitypolicyviolation", (event) => console.error("CSP: " + event.violatedDirective))`,
  );
  return context.newPage();
}

/** A page, and what went wrong on it: `await using tab = await openTab(url);`. */
export interface Tab extends AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings of the console, exceptions, and violations of the Content-Security-Policy. */
  readonly problems: readonly string[];
}

/** Opens a URL in a headless browser that has no cookies. One tab at a time. */
export async function openTab(
  url: URL,
  { javaScriptEnabled = true }: { javaScriptEnabled?: boolean } = {},
): Promise<Tab> {
  const opened = pages.get(javaScriptEnabled) ?? newPage(javaScriptEnabled);
  pages.set(javaScriptEnabled, opened);
  const page = await opened;
  await page.context().clearCookies();
  await page.setViewportSize({ width: 1_280, height: 720 });
  await page.emulateMedia({ colorScheme: null });
  const problems: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(url.href);
  const leave = async (): Promise<void> => {
    await page.goto("about:blank"); // ends its stream and its timers
    page.removeAllListeners();
  };
  return { page, problems, [Symbol.asyncDispose]: leave };
}

/** The texts of a page with too little contrast to their background: WCAG 2 requires 4.5. */
export async function faintTexts(page: Page): Promise<string[]> {
  return (await page.evaluate(FIND_FAINT)) as string[];
}

const FIND_FAINT = `(() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    throw new Error("the page has no background");
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(texts.currentNode.data.trim() + ": " + contrast.toFixed(2));
  }
  return faint;
})()`;

/** Pairs of texts that overlap. */
export async function overlappingTexts(page: Page): Promise<string[]> {
  return (await page.evaluate(FIND_OVERLAPS)) as string[];
}

const FIND_OVERLAPS = `(() => {
  const clip = (rect, element) => {
    let { left, right, top, bottom } = rect;
    for (let at = element; at; at = at.parentElement) {
      if (getComputedStyle(at).overflow === "visible") continue;
      const frame = at.getBoundingClientRect();
      left = Math.max(left, frame.left), right = Math.min(right, frame.right);
      top = Math.max(top, frame.top), bottom = Math.min(bottom, frame.bottom);
    }
    return { left, right, top, bottom };
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const boxes = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, noscript, pre")) continue;
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    for (const rect of range.getClientRects()) boxes.push({ box: clip(rect, element), text: texts.currentNode.data.trim() });
  }
  const shared = (from1, to1, from2, to2) => Math.min(to1, to2) - Math.max(from1, from2);
  const overlaps = [];
  boxes.forEach((a, index) => {
    for (const b of boxes.slice(index + 1))
      if (a.text !== b.text && shared(a.box.left, a.box.right, b.box.left, b.box.right) > 1 && shared(a.box.top, a.box.bottom, b.box.top, b.box.bottom) > 4)
        overlaps.push(a.text + " / " + b.text);
  });
  return overlaps;
})()`;

/** Serious and critical problems of accessibility that axe-core finds in a page. */
export async function inaccessibleParts(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = (await page.evaluate('axe.run({ resultTypes: ["violations"] })')) as AxeResults;
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
}

/** Waits until the text of a visible element matches, and fails with what it was. */
export async function textOf(page: Page, selector: string, pattern: RegExp): Promise<string> {
  const element = page.locator(selector);
  const matching = element.filter({ hasText: pattern, visible: true }).first();
  // Found and read at once: the next update may bring another text.
  const text = await matching.textContent().catch(async (cause) => {
    const texts = await element.allTextContents();
    throw new Error(`${selector} has ${JSON.stringify(texts)}, expected ${pattern}`, { cause });
  });
  return text!.trim();
}
