import assert from "node:assert/strict";
import { test } from "node:test";
import { Hono } from "hono";
import {
  guardedBy,
  MAX_WRONG_TOKENS,
  MAX_WRONG_TOKENS_PER_ADDRESS,
  TokenCheck,
} from "../../../src/server/admin_routes.ts";

const TOKEN = "0123456789abcdef";

/** Sends a token from an address, and resolves with the status. */
function guardedApp(): (token: string, remoteAddress: string) => Promise<number> {
  const app = new Hono();
  app.get("/", guardedBy(new TokenCheck(TOKEN), "admin.token"), (c) => c.text("in"));
  app.onError((error) => (error as unknown as { getResponse(): Response }).getResponse());
  return async (token, remoteAddress) => {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await app.request("/", { headers }, { incoming: { socket: { remoteAddress } } });
    return response.status;
  };
}

test("wrong tokens are limited per address and over all addresses, and the right token always passes", async () => {
  const send = guardedApp();
  const addressCount = MAX_WRONG_TOKENS / MAX_WRONG_TOKENS_PER_ADDRESS;
  for (let host = 1; host <= addressCount; host++) {
    for (let count = 0; count < MAX_WRONG_TOKENS_PER_ADDRESS; count++)
      assert.equal(await send("wrong", `10.0.0.${host}`), 401);
    assert.equal(await send("wrong", `10.0.0.${host}`), 429, `address ${host}`);
  }
  assert.equal(await send("wrong", "10.0.1.1"), 429, "the first wrong token of a new address");
  assert.equal(await send(TOKEN, "10.0.1.1"), 200);
  assert.equal(await send(TOKEN, "10.0.0.1"), 200);
});

test("all addresses of an IPv6 network share one limit", async () => {
  const send = guardedApp();
  for (let host = 1; host <= MAX_WRONG_TOKENS_PER_ADDRESS; host++)
    assert.equal(await send("wrong", `2001:db8:0:1:${host}::1`), 401);
  assert.equal(await send("wrong", "2001:db8:0:1:ffff::1"), 429);
  assert.equal(await send("wrong", "2001:db8:0:2::1"), 401, "another network");
});
