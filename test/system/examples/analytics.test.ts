import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { formatSignature, signBody } from "../../../src/wire/signature.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { type Program, start, startCommand } from "../../support/processes.ts";
import { Project, ROOT } from "../../support/project.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";
import { runtimeCommand } from "../../support/runtimes.ts";
import { type ReceivedRequest, serveHttp, type TestServer } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { linkSdks, NEEDS_BUN, NEEDS_SDKS } from "./analytics_sdks.ts";

type Fields = Record<string, unknown>;

/** The same calls on Segment's SDK and on ours, which must take all that theirs takes. */
const SEGMENT = {
  "calls.ts": `
    import type { Analytics } from "@segment/analytics-node";
    type Like = Pick<Analytics, "track" | "identify" | "group" | "alias" | "page" | "screen">;
    export function call(analytics: Like): void {
      analytics.track({ userId: "u1", event: "Signed Up", properties: { plan: "pro" }, messageId: "m-1" });
      analytics.identify({ userId: "u1", traits: { email: "a@example.com" }, timestamp: new Date(0) });
      analytics.group({ userId: "u1", groupId: "g1", traits: { name: "G" } });
      analytics.alias({ userId: "u1", previousId: "a1" });
      analytics.page({ anonymousId: "a1", name: "Home", category: "docs" });
      analytics.screen({ userId: "u1", name: "Start", properties: { tab: 2 } });
    }`,
  "theirs.ts": `
    import { Analytics } from "@segment/analytics-node";
    import { call } from "./calls.ts";
    const analytics = new Analytics({ writeKey: "wk", host: process.env.HOST! });
    call(analytics);
    await analytics.closeAndFlush();`,
  "ours.ts": `
    import type { Analytics } from "@segment/analytics-node";
    import { call } from "./calls.ts";
    import { analytics } from "./segment.ts";
    export const track = (call: Parameters<Analytics["track"]>[0]): void => analytics.track(call);
    export const page = (call: Parameters<Analytics["page"]>[0]): void => analytics.page(call);
    call(analytics);`,
};

const POSTHOG = {
  "calls.ts": `
    import type { PostHog } from "posthog-node";
    export function call(posthog: Pick<PostHog, "capture" | "identify" | "alias" | "groupIdentify">): void {
      const [timestamp, uuid] = [new Date(0), "0190f0f0-0000-7000-8000-000000000000"];
      posthog.capture({ distinctId: "u1", event: "signed up", properties: { plan: "pro" }, timestamp, uuid });
      posthog.capture({ distinctId: "u1", event: "paid", groups: { company: "g1" } });
      posthog.identify({ distinctId: "u1", properties: { email: "a@example.com" } });
      posthog.identify({ distinctId: "u1", properties: { $set: { a: 1 }, $set_once: { b: 2 } } });
      posthog.alias({ distinctId: "u1", alias: "a1" });
      posthog.groupIdentify({ groupType: "company", groupKey: "g1", properties: { name: "G" } });
    }`,
  "theirs.ts": `
    import { PostHog } from "posthog-node";
    import { call } from "./calls.ts";
    const posthog = new PostHog("phc_1", { host: process.env.HOST! });
    call(posthog);
    await posthog.shutdown();`,
  "ours.ts": `
    import { call } from "./calls.ts";
    import { posthog } from "./posthog.ts";
    call(posthog as never as Parameters<typeof call>[0]); // theirs takes more: flags, a captured exception`,
};

test("segment.ts and forward.ts send Segment what its own SDK does", NEEDS_SDKS, async () => {
  const { theirs, ours } = await compare("segment.ts", SEGMENT, { SEGMENT_WRITE_KEY: "wk" });
  assert.equal(ours[0]!.path, theirs[0]!.path);
  assert.equal(ours[0]!.headers.authorization, theirs[0]!.headers.authorization);
  const [sent, expected] = [eventsOf(ours), eventsOf(theirs)];
  assert.equal(expected.length, 6);
  assert.deepEqual(sent.map(ofSegment), expected.map(ofSegment));
  assert.equal(sent[0]!.messageId, "m-1");
  assert.equal(sent[1]!.timestamp, "1970-01-01T00:00:00.000Z");
  assert.equal(new Set(sent.map(({ messageId }) => messageId)).size, 6);
});

test("posthog.ts and forward.ts send PostHog what its own SDK does", NEEDS_SDKS, async () => {
  const { theirs, ours } = await compare("posthog.ts", POSTHOG, { POSTHOG_KEY: "phc_1" });
  assert.equal(ours[0]!.path, theirs[0]!.path);
  assert.equal(bodyOf(ours[0]!).api_key, bodyOf(theirs[0]!).api_key);
  const [sent, expected] = [eventsOf(ours), eventsOf(theirs)];
  assert.equal(expected.length, 6);
  assert.deepEqual(sent.map(ofPostHog), expected.map(ofPostHog));
  assert.equal(sent[0]!.uuid, expected[0]!.uuid);
  assert.equal(sent[0]!.timestamp, expected[0]!.timestamp);
  assert.equal(new Set(sent.map(({ uuid }) => uuid)).size, 6);
});

test("forward.ts passes on the response, so that events are kept or rejected", NEEDS_BUN, async () => {
  let rejected = 2; // as if it were down
  await using vendor = await serveHttp((response, request) => {
    if (rejected-- > 0) response.writeHead(503).end("down");
    else response.writeHead(request.body.includes("poison") ? 400 : 200).end("{}");
  });
  await using forwarder = forward({ SEGMENT_HOST: vendor.url, SEGMENT_WRITE_KEY: "wk" });
  await using main = newQueue(await urlOf(forwarder));
  main.queue.putMany([{ n: 1 }, { n: "poison" }, { n: 3 }]);
  await publish(main.publisher, () => main.queue.depth() === 0);
  assert.equal(main.publisher.status().state.deadLetters, 1);
  const taken = vendor.requests.filter(({ body }) => !body.includes("poison")).flatMap((r) => eventsOf([r]));
  assert.deepEqual(taken.map(({ n }) => n).sort(), [1, 3]);
});

test(
  "forward.ts takes nothing that is not signed, nor what is too large when decompressed",
  NEEDS_BUN,
  async () => {
    await using vendor = await serveHttp((response) => response.end("{}"));
    await using forwarder = forward({ POSTHOG_HOST: vendor.url, POSTHOG_KEY: "phc_1" });
    const url = `${await urlOf(forwarder)}/v2j`;
    const post = async (body: Buffer<ArrayBuffer>, signed: Buffer): Promise<number> => {
      const headers = { "X-Signature": formatSignature(signBody(Buffer.from(signed), KEY)) };
      return (await fetch(url, { method: "POST", headers, body })).status;
    };
    const batch = Buffer.from('[{"n":1}]');
    assert.equal(await post(gzipSync(batch), Buffer.from("[]")), 403);
    const bomb = Buffer.alloc(10_000_000, " ");
    assert.equal(await post(gzipSync(bomb), bomb), 413);
    assert.equal(vendor.requests.length, 0);
    assert.equal(await post(gzipSync(batch), batch), 200);
    assert.deepEqual(bodyOf(vendor.requests[0]!).batch, [{ n: 1 }]);
  },
);

/** Has the same calls made on an SDK, and on the example that stands in for it, and returns what each led to. */
async function compare(
  example: string,
  programs: Readonly<Record<string, string>>,
  keys: Record<string, string>,
): Promise<{ theirs: ReceivedRequest[]; ours: ReceivedRequest[] }> {
  using project = new Project({
    ...programs,
    [example]: readFileSync(join(ROOT, "examples", example), "utf8"),
  });
  linkSdks(project);
  assert.deepEqual(project.check(), { status: 0, output: "" });
  const take = (): Promise<TestServer> => serveHttp((response) => response.end("{}"));
  await using theirs = await take();
  await using ours = await take();
  await runToEnd(join(project.path, "theirs.ts"), { HOST: theirs.url });
  using queues = temporaryDirectory();
  await runToEnd(join(project.path, "ours.ts"), { EVENTSPOOL_DIR: queues.path });

  await using forwarder = forward({ ...keys, SEGMENT_HOST: ours.url, POSTHOG_HOST: ours.url });
  await using publisher = newPublisher(await urlOf(forwarder), queues.path);
  await publish(publisher, () => publisher.status().state.depth === 0);
  return { theirs: theirs.requests, ours: ours.requests };
}

async function runToEnd(file: string, env: Record<string, string>): Promise<void> {
  await using program = startCommand(runtimeCommand(file), { env });
  assert.equal(await program.ended, 0, program.stderr.join("\n"));
}

function forward(env: Record<string, string>): Program {
  return start("examples/forward.ts", [], { KEY_NAME: KEY.name, KEY_SECRET: KEY_BASE64, PORT: "0", ...env });
}

async function urlOf(forwarder: Program): Promise<string> {
  return (await forwarder.line(/^Forwarding at /)).replace("Forwarding at ", "");
}

/** Runs a publisher until it is done. */
async function publish(publisher: ReturnType<typeof newPublisher>, isDone: () => boolean): Promise<void> {
  const stop = new AbortController();
  const running = publisher.run({ signal: stop.signal });
  await eventually("an empty queue", isDone);
  stop.abort();
  await running;
}

function bodyOf({ headers, body }: ReceivedRequest): Fields {
  return JSON.parse(String(headers["content-encoding"] === "gzip" ? gunzipSync(body) : body)) as Fields;
}

function eventsOf(requests: readonly ReceivedRequest[]): Fields[] {
  return requests.flatMap((request) => bodyOf(request).batch as Fields[]);
}

/** What two SDKs must agree on: not the time, the id, and what tells of the SDK itself. */
function ofSegment({ timestamp, messageId, context, integrations, _metadata, ...event }: Fields): Fields {
  assert.ok(timestamp && messageId);
  return event;
}

function ofPostHog({ timestamp, uuid, ...event }: Fields): Fields {
  assert.ok(timestamp && uuid);
  const { $lib, $lib_version, ...properties } = event.properties as Fields;
  return { ...event, properties };
}
