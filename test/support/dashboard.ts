import assert from "node:assert/strict";
import type { Hono } from "hono";
import type { AdminOptions } from "../../src/admin/app.ts";
import type { PublishedQueue } from "./publisher.ts";

/** Where no collector listens. */
export const NOWHERE = "http://127.0.0.1:9";

/** Admin routes that only this machine can reach. */
export const LOCAL: AdminOptions = { isLocal: true };

/** The page at a path, which must be there. */
export async function pageOf(app: Hono, path = "/"): Promise<string> {
  const response = await app.request(path);
  assert.equal(response.status, 200, path);
  return response.text();
}

/** What is left of a page for its readers: no style, no script, no tags, and white space as one space. */
export function words(page: string): string {
  const shown = page.replaceAll(/<(style|script)>.*?<\/\1>/gs, " ").replaceAll(/<[^>]*>/g, " ");
  return shown.replaceAll(/\s+/g, " ");
}

/** The value of a form's field. */
export function fieldOf(page: string, name: string): string {
  const [, value] = new RegExp(`name="${name}" value="([^"]*)"`).exec(page) ?? [];
  assert.ok(value !== undefined, `a field ${name}`);
  return value;
}

/** Sends a form as the page would. */
export async function send(
  app: Hono,
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return app.request(path, { method: "POST", body: new URLSearchParams(fields), headers });
}

/** The parts of the page in the first update of a stream, one after the other. */
export async function firstUpdate(app: Hono, path = "/events"): Promise<string> {
  const response = await app.request(path);
  assert.equal(response.headers.get("Content-Type"), "text/event-stream");
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  const [, data] = /^data: (.+)$/m.exec(new TextDecoder().decode(value))!;
  return Object.values((JSON.parse(data!) as { regions: Record<string, string> }).regions).join("\n");
}

/** How many events wait in a queue, and how many are dead. */
export function countsOf(main: PublishedQueue): { depth: number; deadLetters: number } {
  const { depth, deadLetters } = main.publisher.status().state;
  return { depth, deadLetters };
}
