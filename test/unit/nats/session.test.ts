import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../../../src/nats/session.ts";

test("a server whose name looks like a TLS problem is just away", () => {
  for (const [server, host] of [
    ["nats-tls:4222", "nats-tls"],
    ["tls://tls.example", "tls.example"],
    ["[::1]:4222", "[::1]"],
  ] as const) {
    const failure = failureOf(new Error(`getaddrinfo ENOTFOUND ${host}`), [server]);
    assert.deepEqual([failure.kind, failure.isTransport], ["unavailable", true], server);
  }
  assert.equal(failureOf(new Error("self-signed certificate"), ["nats-tls:4222"]).kind, "misconfigured");
});
