import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { promisify } from "node:util";
import { admin } from "../../../src/admin/app.ts";
import { MAX_WRONG_TOKENS, MAX_WRONG_TOKENS_PER_ADDRESS } from "../../../src/server/admin_routes.ts";
import { serveApp } from "../../../src/server/serve.ts";
import { insertDeadLetters } from "../../support/dead_letters.ts";
import { newQueue } from "../../support/publisher.ts";
import { connectTo, exchange, statusOf } from "../../support/raw_http.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const NOWHERE = "http://127.0.0.1:9";
const NOBODY = "65534";

/** The admin routes of a queue with a dead letter, on a real socket. */
async function serve(token?: string) {
  const main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"secret":"of a user"}']);
  const served = await serveApp(admin(main.publisher, { token, isLocal: true }), {
    host: "127.0.0.1",
    port: 0,
  });
  return {
    url: served.address,
    port: served.port!,
    [Symbol.asyncDispose]: async () => {
      await served.close();
      await main[Symbol.asyncDispose]();
    },
  };
}

test("answers probes without a Host by HTTP/1.0 and by HEAD, and rejects requests for another host", async () => {
  await using server = await serve();
  for (const [path, status] of [
    ["/livez", 200],
    ["/readyz", 503], // it does not run
    ["/metrics", 200],
    ["/health", 200],
  ] as const) {
    const host = `Host: 127.0.0.1:${server.port}`;
    const ask = async (...lines: string[]): Promise<number> => statusOf(await exchange(server.url, lines));
    assert.equal(await ask(`GET ${path} HTTP/1.0`), status, path);
    assert.equal(await ask(`HEAD ${path} HTTP/1.0`), status, path);
    assert.equal(await ask(`GET ${path} HTTP/1.0`, "Host: haproxy-backend"), status, path);
    assert.equal(await ask(`HEAD ${path} HTTP/1.1`, host, "Connection: close"), status, path);
    assert.equal(await ask(`GET ${path} HTTP/1.1`, "Host: evil.example", "Connection: close"), 403, path);
    const evil = ["Host: evil.example", "Connection: close"];
    for (const lines of [
      [`GET ${path} HTTP/1.1`, host, ...evil],
      [`GET ${path} HTTP/1.1`, ...evil, host],
      [`GET ${server.url}${path} HTTP/1.1`, ...evil],
      [`GET ${path} HTTP/1.1`, "Host: ", "Connection: close"],
    ])
      assert.ok([400, 403, 421].includes(await ask(...lines)), lines.join());
    const nameless = await ask(`GET ${path} HTTP/1.1`, "Connection: close");
    assert.ok([400, 403].includes(nameless), `${path}: ${nameless}`);
  }
});

test("shows figures only to HTTP/1.0, which no browser speaks but proxies do", async () => {
  await using server = await serve();
  const browser = await exchange(server.url, ["GET / HTTP/1.1", "Host: localhost", "Connection: close"]);
  assert.match(browser, /of a user/);
  for (const headers of [[], ["Host: localhost"], ["Host: 127.0.0.1"]]) {
    const proxied = await exchange(server.url, ["GET / HTTP/1.0", ...headers]);
    assert.equal(statusOf(proxied), 200);
    assert.doesNotMatch(proxied, /of a user|<button/);
  }
});

test("streams to HTTP/1.0 as it knows it: no chunks, and what is sent arrives at once", async () => {
  await using server = await serve();
  const socket = await connectTo(server.url);
  socket.write("GET /events HTTP/1.0\r\n\r\n");
  let answer = "";
  for await (const chunk of socket) {
    answer += chunk;
    if (answer.split("\n\n").length > 2) break; // two updates
  }
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  assert.doesNotMatch(head, /transfer-encoding/i);
  assert.match(head, /x-accel-buffering: no/i);
  assert.match(head, /cache-control: .*no-transform/i);
  assert.match(body, /^data: \{/);
});

test("ends a stream of updates after one of them for a page that asks so", async () => {
  await using server = await serve();
  for (const version of ["1.0", "1.1"]) {
    const answer = await exchange(server.url, [
      `GET /events?once HTTP/${version}`,
      "Host: localhost",
      "Connection: close",
    ]);
    assert.equal(answer.match(/^data: /gm)?.length, 1);
  }
});

/** Asks for the page by bash, as a user. */
async function askAs(uid: string, port: number): Promise<string> {
  const ask = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3`;
  const command = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "bash", "-c", ask];
  const { stdout } = await promisify(execFile)(command[0]!, command.slice(1), { cwd: "/" });
  return stdout;
}

const noUsers =
  process.platform !== "linux" || process.getuid?.() !== 0
    ? "it takes Linux, and root to be another user"
    : false;

test("shows events to its own user, and figures to the other users of the machine", {
  skip: noUsers,
}, async () => {
  await using server = await serve();
  const own = await askAs("0", server.port);
  assert.equal(statusOf(own), 200);
  assert.match(own, /of a user/);
  const other = await askAs(NOBODY, server.port);
  assert.equal(statusOf(other), 200);
  assert.doesNotMatch(other, /of a user|<button|form_token/);
  assert.match(other, /with an admin token/);
});

test("shows events to who may connect to its unix socket, which is for its user only", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"secret":"of a user"}']);
  using directory = temporaryDirectory();
  const path = join(directory.path, "admin.sock");
  const served = await serveApp(admin(main.publisher, { isLocal: true }), { path }, { socketMode: 0o600 });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const ask = `curl -s --unix-socket ${path} http://localhost/`;
  const { stdout } = await promisify(execFile)("sh", ["-c", ask]);
  assert.match(stdout, /of a user/);
  chmodSync(directory.path, 0o755);
  if (noUsers === false) {
    const asNobody = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "sh", "-c", ask];
    await assert.rejects(promisify(execFile)("setpriv", asNobody), { code: 7 }, "curl: failed to connect");
  }
  await served.close();
});

test("shows figures only where the system does not tell whose connection it is", async () => {
  await using main = newQueue(NOWHERE);
  insertDeadLetters(main.directory, ['{"secret":"of a user"}']);
  const app = admin(main.publisher, { isLocal: true });
  for (const remoteAddress of ["127.0.0.1", "::1", "192.0.2.7", "fe80::1%lo"]) {
    // A connection that no table of the kernel has.
    const socket = { remoteAddress, remotePort: 0, localAddress: "127.0.0.1", localPort: 0 };
    const rawHeaders = ["Host", "localhost"];
    const env = { incoming: { httpVersionMajor: 1, httpVersionMinor: 1, rawHeaders, socket } };
    const response = await app.request("/", { headers: { Host: "localhost" } }, env);
    assert.equal(response.status, 200);
    assert.doesNotMatch(await response.text(), /of a user|<button/, remoteAddress);
  }
});

const noAddresses = process.platform !== "linux" && "only Linux has all of 127.0.0.0/8 on loopback";

test("slows down a guess that comes from many addresses, and takes the right token from each", {
  skip: noAddresses,
}, async () => {
  const token = "0123456789abcdef";
  await using server = await serve(token);
  const ask = async (text: string, address: string): Promise<number> => {
    const head = [
      "GET /health HTTP/1.1",
      "Host: ops.example",
      `Authorization: Bearer ${text}`,
      "Connection: close",
    ];
    return statusOf(await exchange(server.url, head, address));
  };
  let rejected = 0;
  for (let host = 2; rejected < MAX_WRONG_TOKENS; host++) {
    const address = `127.0.0.${host}`;
    // Side by side: they are counted for a minute, and a busy machine takes that long for one after the other.
    const guesses = Array.from({ length: MAX_WRONG_TOKENS_PER_ADDRESS }, () => ask("wrong", address));
    for (const status of await Promise.all(guesses)) assert.equal(status, 401);
    rejected += guesses.length;
    assert.equal(await ask("wrong", address), 429, "as many as one address may");
  }
  assert.equal(await ask("wrong", "127.0.0.200"), 429, "as many as all addresses may");
  for (const address of ["127.0.0.2", "127.0.0.200"]) assert.equal(await ask(token, address), 200);
});
