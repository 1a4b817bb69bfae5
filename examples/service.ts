import { serve } from "@hono/node-server";
import { EventQueue } from "eventspool";
import { eventQueues } from "eventspool/hono";
import { serializeV2Event } from "eventspool/thrift";
import { Hono } from "hono";
import { Event } from "./thrift/gen-nodejs/event_types.cjs";

const eventsV2 = new EventQueue("main", serializeV2Event);
const app = new Hono().use(eventQueues({ eventsV2 }));

app.post("/articles/:id/views", (c) => {
  const [uuid, client_timestamp] = [crypto.randomUUID(), Date.now()];
  const labels = { article: c.req.param("id") };
  c.var.eventsV2.put(
    new Event({ source: "web", action: "view", noun: "article", client_timestamp, uuid, labels }),
  );
  return c.json({ uuid }, 201); // the event is committed: no crash of this process loses it
});

const port = Number(process.env.PORT ?? 3000);
serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, ({ port }) => {
  console.log(`Serving at http://127.0.0.1:${port}`);
});
