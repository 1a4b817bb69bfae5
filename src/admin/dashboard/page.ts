/**
 * The pages, whole.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { VERSION } from "../../version.ts";
import { SCRIPT, STYLE } from "./assets.ts";
import { html, type Markup, raw } from "./markup.ts";
import type { Regions } from "./regions.ts";

/** Where a page is: relative, so that it works under a prefix, and behind a proxy that removes one. */
export interface PageLocation {
  /** The path of the page itself. */
  readonly home: string;
  /** What the paths of its routes begin with. */
  readonly routes: string;
  /** Whether relative paths work only where the browser's address ends in a slash. */
  readonly needsSlash: boolean;
}

/** What the dashboard shows. */
export interface DashboardPage {
  readonly queue: string;
  readonly file: string;
  readonly location: PageLocation;
  readonly regions: Regions;
  /** Names this process to the page's script. */
  readonly boot: string;
  /** In Unix milliseconds. */
  readonly atMs: number;
  /** What the forms carry; undefined: there are none. */
  readonly formToken: string | undefined;
  readonly canSignOut: boolean;
  /** How many dead letters there are in all. */
  readonly deadLetters: number;
  /** Older dead letters have a lower id than this; undefined: there are none. */
  readonly olderThanId: number | undefined;
  /** Whether this is a page of single dead letters, which is not live. */
  readonly isSingle: boolean;
  /** The result of the last form. */
  readonly said: string | undefined;
}

const ICON =
  "data:image/svg+xml," +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#1f57c3"/><path d="M3 5h10M3 8h7M3 11h4" stroke="#fff" stroke-width="1.6" stroke-linecap="round"/></svg>',
  );

/** A proxy may pass on both `/ops` and `/ops/` as `/`: then only the browser knows which it is. */
const ADD_SLASH = `if (!location.pathname.endsWith("/")) location.replace(location.pathname + "/" + location.search + location.hash);`;

/** What the Content-Security-Policy allows: exactly these texts. */
export const SCRIPT_HASH: string = hashOf(SCRIPT);
export const STYLE_HASH: string = hashOf(STYLE);
export const SLASH_HASH: string = hashOf(ADD_SLASH);

/** The dashboard. */
export function dashboardPage(page: DashboardPage): Markup {
  const { queue, location, regions, boot, atMs, isSingle } = page;
  return document(
    `${queue} · eventspool`,
    location,
    html`<body data-events="${location.routes}events" data-boot="${boot}" data-now="${atMs}">
<a class="skip" href="#figures">Skip to the figures</a>
<header class="top">
<p class="brand">eventspool queue</p>
<h1>${queue}</h1>
<div id="badge" role="status">${regions.badge}</div>
<p class="live" id="live" role="status">As of ${new Date(atMs).toISOString().slice(11, 19)} UTC</p>
${page.canSignOut && html`<form method="post" action="${location.routes}logout">${formToken(page)}<button>Sign out</button></form>`}
</header>
<main>
<noscript><p class="note">Without JavaScript the figures are as of when the page was loaded. <a href="${location.home}">Load again</a></p></noscript>
<div class="health" id="health">${regions.health}</div>
${figures(regions)}
${deadLetters(page)}
${queues(regions)}
</main>
<footer>eventspool ${VERSION}${page.formToken !== undefined && html` · <code>${page.file}</code>`}</footer>
${!isSingle && html`<script>${raw(SCRIPT)}</script>`}
</body>`,
  );
}

function figures(regions: Regions): Markup {
  const tile = (name: string, id: "depth" | "oldest" | "put" | "delivered"): Markup =>
    html`<div><h2>${name}</h2><div id="${id}">${regions[id]}</div><div class="chart" id="${id}-chart">${regions[`${id}-chart`]}</div></div>`;
  return html`<div class="tiles" id="figures" tabindex="-1">
${tile("Depth", "depth")}
${tile("Oldest event", "oldest")}
${tile("Put", "put")}
${tile("Delivered", "delivered")}
</div>
<dl class="counters" id="counters">${regions.counters}</dl>`;
}

function deadLetters(page: DashboardPage): Markup {
  const { regions, location, olderThanId, isSingle, said } = page;
  return html`<section class="dead" id="dead" aria-labelledby="dead-heading">
<div class="head">
<div><h2 id="dead-heading" tabindex="-1">Dead letters</h2>
<p class="sub" id="dead-count">${regions["dead-count"]}</p></div>
${page.formToken !== undefined && bulkActions(page)}
</div>
${said && html`<p class="said" role="status">${said}</p>`}
${page.formToken === undefined && html`<p class="note">To see, retry or purge events, sign in with an admin token, or use a program of the publisher's user on its own machine.</p>`}
<ul class="letters card" id="${isSingle ? "older" : "dead-list"}">${regions["dead-list"]}</ul>
<p class="pager">${isSingle && html`<a href="${location.home}#dead">By reason</a>`}
${olderThanId !== undefined && html`<a href="${location.home}?before=${olderThanId}#dead">Older ones</a>`}
${!isSingle && html`<a id="dead-each" href="${location.home}?each#dead"${page.deadLetters === 0 && raw(" hidden")}>One by one</a>`}</p>
</section>`;
}

/** Other buttons belong to these two forms by their names. All means those that had been rejected when the page was made. */
function bulkActions(page: DashboardPage): Markup {
  const { location, deadLetters, atMs } = page;
  const seen = html`<input type="hidden" name="seen" value="${atMs}">`;
  return html`<form id="retry" method="post" action="${location.routes}retry">${formToken(page)}${seen}</form>
<form id="purge" method="post" action="${location.routes}purge">${formToken(page)}${seen}</form>
<div class="actions" id="dead-actions"${deadLetters === 0 && raw(" hidden")}>
<button form="retry" name="all" value="yes">Retry all</button>
<details class="confirm"><summary>Purge all…</summary>
<button class="danger" form="purge" name="all" value="yes">Delete all</button></details>
</div>`;
}

function queues(regions: Regions): Markup {
  return html`<section class="queues" aria-labelledby="queues-heading">
<div class="head"><h2 id="queues-heading">Queues of this directory</h2></div>
<div class="card"><table aria-labelledby="queues-heading">
<thead><tr><th scope="col">Queue</th><th scope="col">Depth</th><th scope="col">Cap</th><th scope="col">Oldest</th><th scope="col">Dead</th></tr></thead>
<tbody id="queue-rows">${regions["queue-rows"]}</tbody>
</table></div>
</section>`;
}

function formToken({ formToken }: DashboardPage): Markup {
  return html`<input type="hidden" name="form_token" value="${formToken ?? ""}">`;
}

/** Asks for the token. */
export function loginPage(queue: string, location: PageLocation, problem?: string): Markup {
  return document(
    `Sign in · ${queue} · eventspool`,
    location,
    html`<body>
<main class="card narrow">
<h1>Queue ${queue}</h1>
${problem && html`<p class="said bad" role="alert">${problem}</p>`}
<form method="post" action="${location.routes}login">
<input name="username" autocomplete="username" value="${queue}" hidden>
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password" aria-describedby="hint">
<p class="note" id="hint">It is <code>admin.token</code> of the publisher's configuration.</p>
<button class="primary">Sign in</button>
</form>
</main>
</body>`,
  );
}

/** Says why something was not done. */
export function messagePage(title: string, text: string, location: PageLocation): Markup {
  return document(
    `${title} · eventspool`,
    location,
    html`<body>
<main class="card narrow">
<h1>${title}</h1>
<p>${text}</p>
<p><a href="${location.home}">To the dashboard</a></p>
</main>
</body>`,
  );
}

function document(title: string, { needsSlash }: PageLocation, body: Markup): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${ICON}">
${needsSlash && html`<script>${raw(ADD_SLASH)}</script>`}
<style>${raw(STYLE)}</style>
</head>
${body}
</html>
`;
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
