/** The pages, and their parts that are live. */
import { createHash } from "node:crypto";
import { formatDuration, oneLine } from "../../format.ts";
import { type HealthReport, healthOf, type PublisherStatus } from "../../publisher/health.ts";
import { NEARLY_FULL } from "../../storage/events.ts";
import { VERSION } from "../../version.ts";
import { SCRIPT, STYLE } from "./assets.ts";
import type { ChartName, Charts } from "./charts.ts";
import type { DeadLetterList } from "./dead_letters.ts";
import { formatCount, formatRate, formatShare, html, type Markup, plural, raw, timeOf } from "./markup.ts";
import { DASHBOARD_DEAD_LETTERS, type QueueRow, type QueueRows, type Snapshot } from "./snapshot.ts";

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

/** The names of the parts: the ids of the elements they fill. */
export type Region =
  | "badge"
  | "health"
  | "depth"
  | "oldest"
  | "put"
  | "delivered"
  | ChartName
  | "counters"
  | "dead-count"
  | "dead-list"
  | "queue-rows";

/** The content of each part. */
export type Regions = Readonly<Record<Region, Markup>>;

/** Who sees the parts, and what makes those that are kept while they do not change. */
export interface KeptParts {
  /** Whether the collector's responses, which may hold parts of events, are shown. */
  readonly isTrusted: boolean;
  readonly letters: DeadLetterList;
  readonly charts: Charts;
}

/** Makes all parts. */
export function regionsOf(snapshot: Snapshot, { isTrusted, letters, charts }: KeptParts): Regions {
  const { status, rates, samples, queues } = snapshot;
  const { state } = status;
  return {
    badge: badge(status),
    health: health(status, isTrusted),
    depth: depth(state),
    oldest: oldest(snapshot),
    put: rate(rates?.put),
    delivered: rate(rates?.delivered),
    ...charts.of(samples),
    counters: counters(status),
    "dead-count": deadCount(snapshot),
    "dead-list": deadList(snapshot, letters),
    "queue-rows": queueRows(queues, status.queue),
  };
}

function badge(status: PublisherStatus): Markup {
  const { health } = healthOf(status);
  const isPaused = status.pausedAtMs !== undefined && health !== "failing";
  const [kind, word] = !status.isRunning ? NOT_RUNNING : isPaused ? PAUSED : BADGES[health];
  return html`<span class="badge ${kind}">${word}</span>`;
}

const BADGES: Readonly<Record<HealthReport["health"], readonly [kind: string, word: string]>> = {
  ok: ["ok", "Healthy"],
  degraded: ["warn", "Degraded"],
  failing: ["bad", "Failing"],
};
const NOT_RUNNING = ["warn", "Not publishing"] as const;
const PAUSED = ["warn", "Paused"] as const;

function health(status: PublisherStatus, isTrusted: boolean): Markup {
  const { health, reasons } = healthOf(status);
  const problem = status.lastProblem;
  const lines = reasons.map((reason) => html`<li>${capitalize(reason)}.</li>`);
  return html`${lines.length > 0 && html`<ul class="reasons ${BADGES[health][0]}">${lines}</ul>`}
${problem && html`<p class="problem"><strong>Last error</strong>, ${timeOf(problem.atMs)}: <bdi>${isTrusted ? oneLine(problem.message) : problem.kind}</bdi></p>`}`;
}

function depth({ depth, maxEvents }: PublisherStatus["state"]): Markup {
  const share = depth / maxEvents;
  const kind = share >= 1 ? "bad" : share >= NEARLY_FULL ? "warn" : "";
  return html`<p class="figure">${formatCount(depth)}</p>
<p class="sub">of ${formatCount(maxEvents)} (${formatShare(share)})</p>
<svg class="bar ${kind}" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect width="${(100 * Math.min(1, share)).toFixed(2)}" height="1"/></svg>`;
}

function oldest({ status, atMs }: Snapshot): Markup {
  const { oldestPutAtMs } = status.state;
  const age = oldestPutAtMs === undefined ? undefined : atMs - oldestPutAtMs;
  return html`<p class="figure">${age === undefined ? "–" : formatDuration(age)}</p>
<p class="sub">${age === undefined ? "nothing waits" : "in the queue"}</p>`;
}

function rate(perSecond: number | undefined): Markup {
  return html`<p class="figure">${perSecond === undefined ? "–" : formatRate(perSecond)}</p>
<p class="sub">events a second</p>`;
}

function counters(status: PublisherStatus): Markup {
  const { state } = status;
  const rejected = Object.entries(state.rejectedPuts).filter(([, count]) => count > 0);
  const rejectedCount = rejected.reduce((sum, [, count]) => sum + count, 0);
  const why = rejected.map(([reason, count]) => `${formatCount(count)} ${REJECTED_BY[reason] ?? reason}`);
  const { lastSuccessAtMs } = status;
  return html`
${counter("In flight", status.inFlight, `${plural(state.leased, "event")} on the way`)}
${counter("Delivered so far", status.delivered, lastSuccessAtMs === undefined ? "none yet" : html`last ${timeOf(lastSuccessAtMs)}`)}
${counter("Failed requests", status.failedRequests, status.consecutiveFailures > 0 ? `${formatCount(status.consecutiveFailures)} in a row` : "since the start")}
${counter("Retries", status.retries, "batches sent again")}
${counter("Rejected puts", rejectedCount, why.join(", ") || "ever")}`;
}

const REJECTED_BY: Readonly<Record<string, string>> = {
  full: "full",
  too_large: "too large",
  invalid: "invalid",
  storage: "by the file",
};

function counter(name: string, count: number, note: string | Markup): Markup {
  return html`<div><dt>${name}</dt><dd><span class="count">${formatCount(count)}</span> <span class="sub">${note}</span></dd></div>`;
}

function deadCount({ status: { state }, groups }: Snapshot): Markup {
  const dropped = state.droppedDeadLetters;
  const droppedNote = dropped > 0 && `; ${formatCount(dropped)} older ones were dropped to make room`;
  if (state.deadLetters === 0)
    return html`None: the destination has rejected no event by itself${droppedNote}.`;
  const isGrouped = groups.length > 0 && groups.length < state.deadLetters;
  const reasons = isGrouped && `, for ${plural(groups.length, "reason")}`;
  const limit =
    groups.length > DASHBOARD_DEAD_LETTERS && `; the ${DASHBOARD_DEAD_LETTERS} most frequent are shown`;
  return html`${plural(state.deadLetters, "event")} that the destination rejected by ${state.deadLetters === 1 ? "itself" : "themselves"}${reasons}${limit}${droppedNote}.`;
}

/** The largest groups, or a page of single dead letters. */
function deadList({ groups, letters }: Snapshot, list: DeadLetterList): Markup {
  return groups.length > 0 ? list.groups(groups.slice(0, DASHBOARD_DEAD_LETTERS)) : list.entries(letters);
}

function queueRows({ rows, moreCount }: QueueRows, own: string): Markup {
  const more =
    moreCount > 0 &&
    html`<tr><td colspan="5" class="note">${plural(moreCount, "more queue")}: see <code>eventspool list</code>.</td></tr>`;
  return html`${rows.map((row) => queueRow(row, row.queue === own))}${more}`;
}

function queueRow({ queue, look }: QueueRow, isOwn: boolean): Markup {
  const name = html`<th scope="row">${queue}${isOwn && html` <span class="own">this one</span>`}</th>`;
  if (look.state === undefined)
    return html`<tr>${name}<td colspan="4" class="note"><bdi>${oneLine(look.error)}</bdi></td></tr>`;
  const { depth, maxEvents, oldestPutAtMs, deadLetters } = look.state;
  const age = oldestPutAtMs === undefined ? "–" : formatDuration(Date.now() - oldestPutAtMs);
  return html`<tr>${name}<td>${formatCount(depth)}</td><td>${formatCount(maxEvents)}</td><td>${age}</td><td>${formatCount(deadLetters)}</td></tr>`;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
