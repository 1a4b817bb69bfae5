/** Events that compress like real ones: identifiers are random, and the rest is the same few words. */

const ACTIONS = ["view", "click", "vote", "post", "comment", "share", "subscribe", "search"];
const NOUNS = ["page", "listing", "ad", "profile", "message", "community"];

/** A JSON event of about 300 bytes. */
export function randomEvent(): Uint8Array {
  const event = {
    uuid: crypto.randomUUID(),
    client_timestamp: Date.now() + Math.floor(Math.random() * 1_000),
    source: "web",
    action: ACTIONS[Math.floor(Math.random() * ACTIONS.length)],
    noun: NOUNS[Math.floor(Math.random() * NOUNS.length)],
    user: { id: `t2_${randomText(8)}`, logged_in: Math.random() < 0.5 },
    session: { id: randomText(20) },
    request: { path: `/r/${randomText(6)}/comments/${randomText(7)}`, duration_ms: Math.random() * 1_000 },
    app: "eventspool",
    version: "2026.11.24",
  };
  return Buffer.from(JSON.stringify(event));
}

function randomText(length: number): string {
  let text = "";
  while (text.length < length) text += Math.random().toString(36).slice(2, 12);
  return text.slice(0, length);
}
