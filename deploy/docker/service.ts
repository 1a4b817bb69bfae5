/**
 * A service as small as it gets, for compose.yaml and deploy/kubernetes: `POST /articles/ID/views` puts an event.
 * It stops as a service beside an `emptyDir` should: no more requests, then it waits until its events are delivered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "@hono/node-server";
import { EventQueue, serializeJsonEvent } from "eventspool";
import { eventQueues } from "eventspool/hono";
import { Hono } from "hono";

/** How long the last events may take to be delivered, in milliseconds, before this process ends without them. */
const DRAIN_MS = 20_000;

const events = new EventQueue("main", serializeJsonEvent);
const app = new Hono().use(eventQueues({ events }));
app.get("/", (c) => c.text("ok"));
app.post("/articles/:id/views", (c) => {
  c.var.events.put({ action: "view", article: c.req.param("id"), at: Date.now() });
  return c.body(null, 204);
});

const hostname = process.env.HOST ?? "127.0.0.1";
const server = serve({ fetch: app.fetch, hostname, port: Number(process.env.PORT ?? 3000) }, ({ port }) => {
  console.log(`Serving at http://${hostname}:${port}`);
});
process.once("SIGTERM", () => server.close(() => void drain()));

/** Ends this process when the queue is empty. */
async function drain(): Promise<void> {
  const deadlineMs = performance.now() + DRAIN_MS;
  while (events.depth() > 0 && performance.now() < deadlineMs) await sleep(100);
  console.log(`Stopped: ${events.depth()} events are left in the queue`);
  events.close();
  process.exit();
}
