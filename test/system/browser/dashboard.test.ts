import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { eventually } from "../../support/eventually.ts";
import type { Program } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { addressOf, type Settings, Spool, stop } from "../../support/spool.ts";
import { faintTexts, inaccessibleParts, noBrowser, openTab, overlappingTexts, textOf } from "./chromium.ts";

const LIMIT = { timeout: 600_000, skip: noBrowser };

/** A publisher with a dashboard, and a collector that rejects events with a field `poison` until it is repaired. */
async function serve(settings: Settings = {}) {
  const spool = new Spool();
  const collector = await ScriptedCollector.open();
  const state = { isRepaired: false };
  collector.script = ({ events }) =>
    events.some(({ poison }) => poison) && !state.isRepaired
      ? { status: 422, body: '{"error":"<script>alert(1)</script> is no noun"}' }
      : { status: 200 };
  const start = (): Program =>
    spool.publisher({
      "collector.hostname": `127.0.0.1:${collector.port}`,
      "admin.listen": "127.0.0.1:0",
      ...settings,
    });
  const publisher = start();
  return {
    spool,
    state,
    start,
    publisher,
    url: await addressOf(publisher),
    [Symbol.asyncDispose]: async () => {
      await publisher[Symbol.asyncDispose]();
      await collector[Symbol.asyncDispose]();
      spool[Symbol.dispose]();
    },
  };
}

const HOSTILE = { poison: true, note: "</pre><script>alert(1)</script><img src=x onerror=alert(2)>" };

async function numberIn(page: Page, selector: string): Promise<number> {
  return Number((await page.locator(selector).textContent())!.replaceAll(",", ""));
}

const DELIVERED = "#counters div:nth-child(2) .count";

test("shows numbers that move while events flow", LIMIT, async () => {
  await using main = await serve();
  await using tab = await openTab(main.url);
  await textOf(tab.page, "#live", /^Live$/);
  await textOf(tab.page, "#badge", /^Healthy$/);
  assert.equal(await numberIn(tab.page, DELIVERED), 0);

  main.spool.put(1_234);
  await eventually("1,234 on the page", async () => (await numberIn(tab.page, DELIVERED)) === 1_234);
  await textOf(tab.page, "#counters", /last \d+s ago/);
  main.spool.put(1);
  await eventually("1,235 on the page", async () => (await numberIn(tab.page, DELIVERED)) === 1_235);
  assert.deepEqual(tab.problems, []);
});

test("shows a dead letter when it dies, and retries it", LIMIT, async () => {
  await using main = await serve();
  await using tab = await openTab(main.url);
  await textOf(tab.page, "#live", /^Live$/);
  main.spool.put(1, HOSTILE);

  await textOf(tab.page, "#dead-list", /422.*<script>alert\(1\)<\/script> is no noun/s);
  await textOf(tab.page, "#badge", /^Degraded$/);
  await tab.page.locator("#dead-list summary").first().click();
  await textOf(tab.page, "#dead-list pre", /"note": "<\/pre><script>alert\(1\)<\/script><img src=x/);

  main.state.isRepaired = true;
  await tab.page.getByRole("button", { name: "Retry event 1" }).click();
  await textOf(tab.page, ".said", /^1 dead letter put back into the queue\.$/);
  await eventually(
    "a URL that does not say it again when it is loaded",
    () => new URL(tab.page.url()).search === "",
  );
  await eventually("the event at the collector", async () => (await numberIn(tab.page, DELIVERED)) === 1);
  await textOf(tab.page, "#badge", /^Healthy$/);
  assert.deepEqual(main.spool.deadLetters(), []);
  assert.deepEqual(tab.problems, []);
});

test("deletes all dead letters only after a second click", LIMIT, async () => {
  await using main = await serve();
  insertDeadLetters(main.spool.directory, ["1", "2"]);
  await using tab = await openTab(main.url);
  const sure = tab.page.getByRole("button", { name: "Delete all" });
  assert.equal(await sure.isVisible(), false);
  await tab.page.getByText("Purge all…").click();
  await sure.click();
  await textOf(tab.page, ".said", /^2 dead letters deleted\.$/);
  assert.deepEqual(main.spool.deadLetters(), []);
  assert.equal(await tab.page.getByRole("button", { name: "Retry all" }).isVisible(), false);
  assert.deepEqual(tab.problems, []);
});

test("keeps an open reason open, and the focus where it is, when others come", LIMIT, async () => {
  await using main = await serve();
  insertDeadLetters(main.spool.directory, ['"first"', '"second"']);
  await using tab = await openTab(main.url);
  await textOf(tab.page, "#dead-list", /2 events/);
  await tab.page.locator("#dead-list summary").first().press("Enter");
  const retry = "Retry all of this reason";
  await tab.page.getByRole("button", { name: retry }).focus();

  insertDeadLetters(main.spool.directory, ['"third"']);
  insertDeadLetters(main.spool.directory, ['"fourth"'], { status: 400, response: "no verb" });
  await textOf(tab.page, "#dead-list", /3 events.*400.*no verb/s);
  assert.equal(await tab.page.evaluate("document.activeElement.innerText.trim()"), retry);
  assert.equal(await tab.page.locator("details.letter[open]").count(), 1);

  await tab.page.keyboard.press("Enter");
  await textOf(tab.page, ".said", /^3 dead letters put back/);
  assert.deepEqual(tab.problems, []);
});

/** The longest that there are. */
const LONG_FIGURES = `document.querySelectorAll(".peak").forEach((peak) => { peak.textContent = "15-min peak 1,000,000,000"; });
document.querySelectorAll(".tiles h2").forEach((heading) => { heading.textContent = "Oldest event"; })`;

test("fits a desk and a phone, and every text can be read, in light and dark", LIMIT, async () => {
  await using main = await serve();
  main.spool.cap(100);
  insertDeadLetters(main.spool.directory, [JSON.stringify({ text: "x".repeat(3_000) })]);
  insertDeadLetters(main.spool.directory, ["1", "2"], { status: 422, response: "y".repeat(500) });
  await using tab = await openTab(main.url);
  const { page } = tab;
  await textOf(page, "#live", /^Live$/);
  for (const summary of await page.locator("details.letter > summary").all()) await summary.click();
  await page.getByText("Purge all…").click();
  await page.getByText("Purge…").first().click();
  await page.evaluate("source.close()"); // nothing changes any more

  for (const width of [2_560, 1_440, 1_200, 800, 360])
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height: 740 });
      await page.emulateMedia({ colorScheme });
      const name = `${width} pixels, ${colorScheme}`;
      const isShown = `innerWidth === ${width} && matchMedia("(prefers-color-scheme: ${colorScheme})").matches`;
      await eventually(name, () => page.evaluate(isShown));
      assert.equal(await page.evaluate("document.documentElement.scrollWidth"), width, name);
      const used = (await page.evaluate("document.querySelector('main').offsetWidth")) as number;
      assert.ok(used >= 0.85 * width, `${name}: uses ${used}`);
      assert.deepEqual(await faintTexts(page), [], name);
      await page.evaluate(LONG_FIGURES);
      assert.deepEqual(await overlappingTexts(page), [], name);
      assert.deepEqual(await inaccessibleParts(page), [], name);
    }
  assert.deepEqual(tab.problems, []);
});

test(
  "can be used by the keyboard alone: all controls are reached, and show that they are",
  LIMIT,
  async () => {
    await using main = await serve();
    insertDeadLetters(main.spool.directory, ["1"]);
    await using tab = await openTab(main.url);
    const reached: string[] = [];
    for (let presses = 0; presses < 4; presses++) {
      await tab.page.keyboard.press("Tab");
      reached.push(String(await tab.page.evaluate("document.activeElement.innerText.trim()")));
      const outline = await tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
      assert.equal(outline, "solid", reached.at(-1));
    }
    assert.deepEqual(reached.slice(0, 3), ["Skip to the figures", "Retry all", "Purge all…"]);
    assert.match(reached[3]!, /^422/);
  },
);

test("names its parts for screen readers", LIMIT, async () => {
  await using main = await serve();
  insertDeadLetters(main.spool.directory, ["1"]);
  await using tab = await openTab(main.url);
  await textOf(tab.page, "#live", /^Live$/);
  const { page } = tab;
  for (const role of ["banner", "main", "contentinfo"] as const)
    assert.equal(await page.getByRole(role).count(), 1, role);
  assert.equal(await page.getByRole("heading", { level: 1, name: "main" }).count(), 1);
  assert.equal(await page.getByRole("region", { name: "Dead letters" }).count(), 1);
  assert.equal(await page.getByRole("table", { name: "Queues of this directory" }).count(), 1);
  assert.equal(await page.getByRole("img", { name: /^Depth in the last 15 minutes/ }).count(), 1);
  const unnamed =
    "[...document.querySelectorAll('button, input:not([type=hidden]), summary')].filter((e) => !(e.ariaLabel ?? e.innerText.trim()) && !e.labels?.length && e.checkVisibility()).length";
  assert.equal(await page.evaluate(unnamed), 0);
});

test("shows without JavaScript how things were, and its forms work", LIMIT, async () => {
  await using main = await serve();
  insertDeadLetters(main.spool.directory, ['"first"', '"second"']);
  await using tab = await openTab(main.url, { javaScriptEnabled: false });
  await textOf(tab.page, "#dead-count", /^2 events/);
  await tab.page.getByText("One by one").click();
  await tab.page.locator("details.letter > summary").first().click();
  await tab.page.getByRole("button", { name: "Retry event 2" }).click();
  await textOf(tab.page, ".said", /^1 dead letter put back/);
  await textOf(tab.page, "#dead-count", /^1 event that/);
  assert.deepEqual(tab.problems, []);
});

test("signs in with the token, and out", LIMIT, async () => {
  await using main = await serve({ "admin.token": "0123456789abcdef" });
  await using tab = await openTab(main.url);
  const { page } = tab;
  await page.getByLabel("Token").fill("0123456789abcdeX");
  await page.keyboard.press("Enter");
  await textOf(page, "[role=alert]", /This is not the publisher's token/);
  assert.deepEqual(await faintTexts(page), []);
  assert.deepEqual(await inaccessibleParts(page), []);
  await page.getByLabel("Token").fill("0123456789abcdef");
  await page.getByRole("button", { name: "Sign in" }).click();
  await textOf(page, "#live", /^Live$/);
  assert.equal(await page.evaluate("document.cookie"), "", "no script can read the session");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  const unexpected = tab.problems.filter((text) => !text.includes("401")); // the browser's word for our rejections
  assert.deepEqual(unexpected, []);
});

test("says when the publisher does not respond, and continues when it is back", LIMIT, async () => {
  const [port] = await freePorts(1);
  await using main = await serve({ "admin.listen": `127.0.0.1:${port}` });
  await using tab = await openTab(main.url);
  await textOf(tab.page, "#live", /^Live$/);
  const boot = await tab.page.locator("body").getAttribute("data-boot");

  assert.equal(await stop(main.publisher), 0, "the open page does not keep it from stopping");
  await textOf(tab.page, "#live", /^No answer from the publisher/);

  await using again = main.start();
  await addressOf(again);
  await textOf(tab.page, "#live", /^Live$/);
  await eventually("the new publisher's page", async () => {
    return (await tab.page.locator("body").getAttribute("data-boot")) !== boot;
  });
});
