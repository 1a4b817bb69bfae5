/**
 * The script that makes the page live. Without it the page shows the state as of when it was loaded, and its forms work.
 *
 * @module
 */

/** The page's script, as it is sent: plain JavaScript for today's browsers. */
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
