/** The style sheet and the script of the page. */

/** The style sheet. Colours of text have a contrast of 4.5 and more to their background, in light and dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1a1c1f; --soft: #565b63; --rule: #dfdfda; --hover: #f1f1ed;
  --accent: #1f57c3; --area: #1f57c31c; --ok: #14713f; --ok-bg: #dff3e7; --warn: #7a4f00; --warn-bg: #fbeecb;
  --bad: #a8201a; --bad-bg: #fbe3e1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121315; --card: #1a1c1f; --ink: #e8e9eb; --soft: #a3a8b0; --rule: #2d3035; --hover: #22252a;
    --accent: #86b1ff; --area: #86b1ff24; --ok: #6fdca4; --ok-bg: #12301f; --warn: #f2c063; --warn-bg: #33270c;
    --bad: #ff9a92; --bad-bg: #3a1917;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  background: var(--page); color: var(--ink); font: 0.9375rem/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; max-width: 66rem; margin: 0 auto; padding: 1.25rem 1rem 3rem;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.5rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { font-size: 1.0625rem; line-height: 1.3; }
h3 { font-size: 0.8125rem; font-weight: 600; }
a { color: var(--accent); }
code, pre { font: 0.8125rem/1.5 ui-monospace, monospace; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
[hidden] { display: none !important; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: 0.25rem; background: var(--card); padding: 0.25rem 0.5rem; z-index: 1; }
.sub, .note, .peak, .meta, dt { color: var(--soft); font-size: 0.8125rem; }

.top { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; margin-bottom: 1.25rem; }
.top .brand { flex-basis: 100%; color: var(--soft); font-size: 0.8125rem; }
.top .live { margin-left: auto; color: var(--soft); font-size: 0.8125rem; }
.live::before { content: ""; display: inline-block; width: 0.5rem; height: 0.5rem; border-radius: 50%; background: var(--soft); margin-right: 0.4rem; }
.live[data-state=live]::before { background: var(--ok); }
.live[data-state=lost]::before { background: var(--bad); }
.badge { display: inline-block; border-radius: 1rem; padding: 0.0625rem 0.625rem; font-size: 0.8125rem; font-weight: 600; }
.badge.ok { color: var(--ok); background: var(--ok-bg); }
.badge.warn { color: var(--warn); background: var(--warn-bg); }
.badge.bad { color: var(--bad); background: var(--bad-bg); }

section { margin-top: 2rem; }
.health { margin: 0 0 1rem; display: grid; gap: 0.5rem; }
.health:empty { display: none; }
.reasons { list-style: none; padding: 0.625rem 0.875rem; border-radius: 8px; font-weight: 500; }
.reasons.warn { color: var(--warn); background: var(--warn-bg); }
.reasons.bad { color: var(--bad); background: var(--bad-bg); }
.problem { color: var(--soft); font-size: 0.875rem; }
.problem strong { font-weight: 600; }
.said { padding: 0.625rem 0.875rem; border-radius: 8px; color: var(--ok); background: var(--ok-bg); font-weight: 500; margin: 0.75rem 0; }
.said.bad { color: var(--bad); background: var(--bad-bg); }

.card, .tiles > div { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.75rem; }
.tiles > div { padding: 0.75rem 0 0; overflow: hidden; position: relative; display: flex; flex-direction: column; }
.tiles h2, .tiles .figure, .tiles .sub { padding: 0 0.875rem; }
.tiles h2 { font-size: 0.8125rem; font-weight: 600; color: var(--soft); }
.figure { font-size: 1.75rem; line-height: 1.25; font-weight: 600; letter-spacing: -0.02em; white-space: nowrap; }
.bar { display: block; width: calc(100% - 1.75rem); margin: 0.375rem 0.875rem 0; height: 6px; border-radius: 3px; background: var(--rule); }
.bar rect { fill: var(--accent); }
.bar.warn rect { fill: var(--warn); }
.bar.bad rect { fill: var(--bad); }
.chart { margin-top: auto; padding-top: 0.75rem; display: flex; flex-direction: column; }
.spark { display: block; width: 100%; height: 3.5rem; }
.spark .line { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.spark .area { fill: var(--area); stroke: none; }
.peak { padding: 0 0.875rem; order: -1; font-size: 0.75rem; }

.counters { display: grid; grid-template-columns: repeat(5, 1fr); gap: 0.5rem 1rem; margin-top: 1rem; padding: 0 0.875rem; }
.count { font-weight: 600; display: block; }

.head { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: flex-start; margin-bottom: 0.75rem; }
.head > :first-child { flex: 1 1 16rem; }
.actions { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: flex-start; }
button, .confirm > summary {
  font: inherit; font-size: 0.875rem; font-weight: 500; color: var(--ink); background: var(--card); cursor: pointer;
  border: 1px solid var(--soft); border-radius: 6px; padding: 0.375rem 0.75rem; line-height: 1.4;
}
button:hover, .confirm > summary:hover { background: var(--hover); }
button.danger { color: var(--bad); border-color: var(--bad); }
.confirm > summary { list-style: none; display: inline-block; }
.confirm > summary::-webkit-details-marker { display: none; }
.confirm[open] { display: flex; gap: 0.5rem; }
.confirm[open] > summary { color: var(--soft); border-style: dashed; }

.letters { list-style: none; padding: 0; overflow: hidden; }
.letters:empty { display: none; }
.letters > li + li { border-top: 1px solid var(--rule); }
.letter > summary { display: flex; align-items: baseline; gap: 0.25rem 0.75rem; padding: 0.625rem 0.875rem; cursor: pointer; }
.letter > summary:focus-visible { outline-offset: -3px; border-radius: 10px; }
.letter > summary::before { content: "▸"; color: var(--soft); width: 0.75rem; flex: none; }
.letter[open] > summary::before { content: "▾"; }
.letter > summary::-webkit-details-marker { display: none; }
.letter > summary:hover { background: var(--hover); }
.times { font-weight: 600; color: var(--ink); }
.code { font-weight: 600; color: var(--bad); }
.response { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font: 0.8125rem/1.5 ui-monospace, monospace; }
.letter .meta { white-space: nowrap; }
.inside { padding: 0.25rem 0.875rem 0.875rem 2.375rem; display: grid; gap: 0.5rem; min-width: 0; }
.inside > * { min-width: 0; }
.facts { display: flex; flex-wrap: wrap; gap: 0.375rem 1.75rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--page); border: 1px solid var(--rule); border-radius: 6px; padding: 0.625rem 0.75rem; max-height: 24rem; overflow: auto; }
.inside .actions { margin-top: 0.25rem; }
.pager { margin-top: 0.75rem; display: flex; gap: 1rem; }

table { width: 100%; border-collapse: collapse; }
th, td { text-align: right; padding: 0.5rem 0.875rem; font-weight: 400; vertical-align: baseline; white-space: nowrap; }
th:first-child, td.note { text-align: left; white-space: normal; }
thead th { color: var(--soft); font-size: 0.8125rem; font-weight: 600; }
tbody tr { border-top: 1px solid var(--rule); }
tbody th { font-weight: 500; }
.own { color: var(--soft); font-weight: 400; font-size: 0.8125rem; white-space: nowrap; }
footer { margin-top: 2rem; color: var(--soft); font-size: 0.8125rem; }

.narrow { max-width: 24rem; margin: 12vh auto 0; padding: 1.5rem; display: grid; gap: 0.875rem; }
.narrow form { display: grid; gap: 0.5rem; }
label { font-size: 0.875rem; font-weight: 500; }
input { font: inherit; color: var(--ink); background: var(--page); border: 1px solid var(--soft); border-radius: 6px; padding: 0.4375rem 0.625rem; width: 100%; }
.primary { background: var(--accent); border-color: var(--accent); color: var(--card); }
.primary:hover { background: var(--ink); border-color: var(--ink); }
.stale .tiles, .stale .counters, .stale table { opacity: 0.55; }

@media (min-width: 90rem) {
  body { max-width: 150rem; padding: 1.25rem 2.5rem 3rem; }
  main { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 2fr); gap: 0 1.5rem; align-items: start; }
  .health, .tiles, .counters { grid-column: 1 / -1; }
  .spark { height: 6rem; }
}
@media (max-width: 46rem) {
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .counters { grid-template-columns: repeat(2, 1fr); padding: 0 0.25rem; }
  .letter > summary { flex-wrap: wrap; }
  .letter .meta { flex-basis: 100%; padding-left: 1.5rem; white-space: normal; }
  .inside { padding-left: 0.875rem; }
  th, td { padding: 0.5rem 0.375rem; }
  th:first-child { padding-left: 0.75rem; }
  td:last-child, th:last-child { padding-right: 0.75rem; }
  .own { display: block; }
  .chart { padding-top: 0.25rem; }
  .spark { height: 2.75rem; }
}
`;

/** The script, plain JavaScript for today's browsers. Without it the page shows the state as of when it was loaded, and its forms work. */
export const SCRIPT = `
"use strict";
const body = document.body;
const live = document.getElementById("live");
const list = document.getElementById("dead-list");
let clockSkewMs = Number(body.dataset.now) - Date.now();
let source;

function say(state, text) {
  if (live.textContent === text) return; // a screen reader would read it out again
  live.dataset.state = state;
  live.textContent = text;
  body.classList.toggle("stale", state === "lost");
}

function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return seconds + "s ago";
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes + "m " + (seconds % 60) + "s ago";
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return hours + "h " + (minutes % 60) + "m ago";
  return Math.floor(hours / 24) + "d " + (hours % 24) + "h ago";
}

function showTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const text = ago(Date.now() + clockSkewMs - Date.parse(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = new Date(time.dateTime).toLocaleString();
  }
}

// Entries that stay are kept, since one may be open or have the focus. Only their first line may change.
function mergeList(text) {
  const fresh = document.createElement("template");
  fresh.innerHTML = text;
  const known = new Map(Array.from(list.children, (item) => [item.dataset.key, item]));
  const items = Array.from(fresh.content.children, (item) => {
    const kept = known.get(item.dataset.key);
    if (kept === undefined) return item;
    kept.querySelector("summary").innerHTML = item.querySelector("summary").innerHTML;
    return kept;
  });
  const hadFocus = list.contains(document.activeElement);
  for (const item of known.values()) if (!items.includes(item)) item.remove();
  items.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  if (hadFocus && !list.contains(document.activeElement)) document.getElementById("dead-heading").focus();
}

function show({ boot, now, dead, regions }) {
  if (boot !== body.dataset.boot) return location.reload(); // another publisher, and maybe another version of the page
  clockSkewMs = now - Date.now();
  for (const [id, text] of Object.entries(regions)) {
    const region = document.getElementById(id);
    if (region === null) continue;
    if (region === list) mergeList(text);
    else region.innerHTML = text;
  }
  for (const input of document.querySelectorAll("input[name=seen]")) input.value = now;
  const all = document.getElementById("dead-actions");
  if (all !== null) all.hidden = dead === 0;
  document.getElementById("dead-each").hidden = dead === 0;
  showTimes();
  say("live", "Live");
}

// A proxy that buffers the stream passes on responses that end: then each update is a response of its own.
const PATIENCE_MS = 5000;
let isPolling = false;
let patience;

function listen() {
  source?.close();
  clearTimeout(patience);
  let isHeard = false;
  source = new EventSource(body.dataset.events + (isPolling ? "?once" : ""));
  source.onmessage = ({ data }) => {
    isHeard = true;
    clearTimeout(patience);
    show(JSON.parse(data));
  };
  source.onerror = () => {
    clearTimeout(patience);
    const wasHeard = isHeard;
    isHeard = false;
    if (isPolling && wasHeard) return; // the end of an update; the browser asks for the next
    if (source.readyState !== EventSource.CLOSED) return say("lost", "No answer from the publisher. Trying again");
    say("lost", "No live figures: too many pages, or signed out. Load the page again");
    setTimeout(() => document.hidden || listen(), 10000);
  };
  if (isPolling) return;
  patience = setTimeout(() => {
    isPolling = true;
    listen();
  }, PATIENCE_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return listen();
  source?.close();
  clearTimeout(patience);
});
addEventListener("pageshow", ({ persisted }) => persisted && listen());
addEventListener("pagehide", () => source?.close());
if (/[?](retried|purged)=/.test(location.search)) history.replaceState(null, "", location.pathname + location.hash);
showTimes();
setInterval(showTimes, 1000);
if (!document.hidden) listen();
`;
