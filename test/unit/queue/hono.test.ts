import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import { type EventQueuesEnv, eventQueues } from "../../../src/queue/hono.ts";

class MemoryQueue<T> {
  readonly events: T[] = [];
  put(event: T): void {
    this.events.push(event);
  }
}

interface Signup {
  name: string;
}

test("gives handlers their queues, each with its own type", async () => {
  const signups = new MemoryQueue<Signup>();
  const clicks = new MemoryQueue<number>();
  const app = new Hono().use(eventQueues({ signups, clicks })).post("/:name", (c) => {
    c.var.signups.put({ name: c.req.param("name") });
    c.var.clicks.put(1);
    return c.body(null, 204);
  });
  assert.equal((await app.request("/ann", { method: "POST" })).status, 204);
  assert.equal((await app.request("/bob", { method: "POST" })).status, 204);
  assert.deepEqual(signups.events, [{ name: "ann" }, { name: "bob" }]);
  assert.deepEqual(clicks.events, [1, 1]);
});

test("types an app that is not chained", async () => {
  const queues = { clicks: new MemoryQueue<number>() };
  const app = new Hono<EventQueuesEnv<typeof queues>>();
  app.use(eventQueues(queues));
  app.get("/", (c) => {
    c.var.clicks.put(7);
    return c.text("ok");
  });
  await app.request("/");
  assert.deepEqual(queues.clicks.events, [7]);
});

test("works next to other middleware's variables", async () => {
  const clicks = new MemoryQueue<number>();
  const app = new Hono<{ Variables: { user: number } }>()
    .use(async (c, next) => {
      c.set("user", 5);
      await next();
    })
    .use(eventQueues({ clicks }))
    .get("/", (c) => {
      c.var.clicks.put(c.var.user);
      return c.text("ok");
    });
  await app.request("/");
  assert.deepEqual(clicks.events, [5]);
});

/** Never called: what the type checker must reject. */
export function typeErrors(): void {
  // @ts-expect-error a queue has a put method
  eventQueues({ notAQueue: 1 });
  new Hono().use(eventQueues({ clicks: new MemoryQueue<number>() })).get("/", (c) => {
    // @ts-expect-error the queue takes numbers
    c.var.clicks.put("x");
    // @ts-expect-error there is no such queue
    c.var.signups.put(1);
    return c.text("ok");
  });
}
