import assert from "node:assert/strict";
import { test } from "node:test";
import { BACKOFF_BASE_MS, CircuitBreaker } from "../../../src/publisher/circuit_breaker.ts";

test("is open until something fails", () => {
  const gate = new CircuitBreaker();

  assert.equal(gate.failures, 0);
  assert.deepEqual([gate.shutForMs(), gate.failingForMs()], [0, 0]);
});

test("shuts for a backoff when a request fails, then lets one probe go", () => {
  const gate = new CircuitBreaker();

  const shutForMs = gate.failed(0, 1_000);

  assert.ok(shutForMs > 0 && shutForMs <= BACKOFF_BASE_MS, String(shutForMs));
  assert.equal(gate.shutForMs(1_000), shutForMs);
  assert.equal(gate.shutForMs(1_000 + BACKOFF_BASE_MS), 0);
});

test("is open again once the probe succeeds", () => {
  const gate = new CircuitBreaker();
  gate.failed(0, 1_000);

  gate.succeeded(2_000);

  assert.deepEqual([gate.failures, gate.shutForMs(2_000)], [0, 0]);
});

test("counts failures beside each other once", () => {
  const gate = new CircuitBreaker();

  for (let lane = 0; lane < 4; lane++) gate.failed(0, 1_000);

  assert.equal(gate.failures, 1);
});

test("counts each failed probe, and shuts for longer", () => {
  const gate = new CircuitBreaker();
  let nowMs = 1_000;
  for (let failures = 1; failures <= 30; failures++) {
    const shutForMs = gate.failed(0, nowMs);
    assert.equal(gate.failures, failures);
    assert.ok(shutForMs <= Math.min(60_000, 500 * 2 ** (failures - 1)), `${failures}: ${shutForMs}`);
    nowMs += shutForMs + 1;
  }
});

test("stays shut for as long as Retry-After asks, and a jitter", () => {
  const gate = new CircuitBreaker();

  const shutForMs = gate.failed(90_000, 1_000);

  assert.ok(shutForMs > 90_000 && shutForMs <= 90_000 + BACKOFF_BASE_MS, String(shutForMs));
});

test("keeps the longest wait of failures beside each other", () => {
  const gate = new CircuitBreaker();
  gate.failed(90_000, 1_000);

  assert.ok(gate.failed(0, 1_000) > 90_000);
  assert.ok(gate.failed(5_000, 2_000) > 89_000);
});

test("is not opened by a request that was in flight beside the one that failed", () => {
  const gate = new CircuitBreaker();
  gate.failed(90_000, 1_000);

  gate.succeeded(1_010);

  assert.ok(gate.shutForMs(1_010) > 89_900, "the collector asked to be left alone");
  assert.equal(gate.failures, 1);
});

test("tells how long there have been only failures", () => {
  const gate = new CircuitBreaker();
  gate.failed(0, 1_000);
  gate.failed(0, 31_000);

  assert.equal(gate.failingForMs(61_000), 60_000);

  gate.succeeded(200_000);
  assert.equal(gate.failingForMs(200_000), 0);
  gate.failed(0, 300_000);
  assert.equal(gate.failingForMs(300_500), 500, "counted anew after a success");
});

test("goes by a clock that nobody can set", () => {
  const gate = new CircuitBreaker();
  const wallClock = Date.now;
  try {
    gate.failed(60_000);
    Date.now = () => wallClock() + 86_400_000;
    assert.ok(gate.shutForMs() > 59_000);
    assert.ok(gate.failingForMs() < 60_000);
    Date.now = () => wallClock() - 86_400_000;
    assert.ok(gate.shutForMs() <= 60_000 + BACKOFF_BASE_MS);
    assert.ok(gate.failingForMs() >= 0);
  } finally {
    Date.now = wallClock;
  }
});
