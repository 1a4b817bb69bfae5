import { serve } from "@hono/node-server";
import { EventQueue, serializeJsonEvent } from "eventspool";
import { eventQueues } from "eventspool/hono";
import { Hono } from "hono";

const events = new EventQueue("main", serializeJsonEvent);
const app = new Hono().use(eventQueues({ events }));

app.post("/articles/:id/views", (c) => {
  const uuid = crypto.randomUUID();
  c.var.events.put({ action: "view", article: c.req.param("id"), uuid, at: Date.now() });
  return c.json({ uuid }, 201); // the event is committed: a crash of this process does not lose it
});

const port = Number(process.env.PORT ?? 3000);
serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, ({ port }) => {
  console.log(`Serving at http://127.0.0.1:${port}`);
});
