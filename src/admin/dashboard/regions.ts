/**
 * The parts of the page that are live.
 *
 * @module
 */
import { formatDuration, oneLine } from "../../format.ts";
import { type HealthReport, healthOf, type PublisherStatus } from "../../publisher/health.ts";
import { NEARLY_FULL } from "../../storage/events.ts";
import type { ChartName, Charts } from "./charts.ts";
import type { DeadLetterList } from "./dead_letters.ts";
import { formatCount, formatRate, formatShare, html, type Markup, plural, timeOf } from "./markup.ts";
import { DASHBOARD_DEAD_LETTERS, type QueueRow, type QueueRows, type Snapshot } from "./snapshot.ts";

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
