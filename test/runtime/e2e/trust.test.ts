import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { eventually } from "../../support/eventually.ts";
import { type Program, start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { type Answer, serveHttp } from "../../support/servers.ts";
import { publishing, type Settings, Spool } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 300_000 };

const NGINX_400 =
  "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body></body></html>\r\n";

function publisherOf(
  spool: Spool,
  url: string,
  settings: Settings = {},
  env: Record<string, string> = {},
): Program {
  const { protocol, host } = new URL(url);
  const address = { "collector.hostname": host, "collector.scheme": protocol.slice(0, -1) };
  return start("src/commands/publisher.ts", spool.publisherArgs({ ...address, ...settings }), env);
}

/** Asserts that a publisher keeps all events, makes no dead letter, and complains in such words. */
async function keepsItsEvents(
  url: string,
  complaint: RegExp,
  settings: Settings = {},
  env: Record<string, string> = {},
): Promise<void> {
  using spool = new Spool();
  spool.put(10);
  await using publisher = publisherOf(spool, url, settings, env);
  const line = await publisher.line(/rejects our requests/);
  assert.match(line, complaint);
  assert.equal(spool.queue.depth(), 10);
  assert.deepEqual(spool.deadLetters(), []);
}

const answers: readonly (readonly [what: string, answer: Answer, complaint: RegExp])[] = [
  [
    "a balancer's default page, with 200",
    (response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>It works!</h1>"),
    /responded with 200, a web page/,
  ],
  [
    "a page without a type, with 200",
    (response) => response.end("\n<!doctype html><title>Sign in"),
    /a web page/,
  ],
  [
    "JSON that accounts for other events, with 200",
    (response) => response.writeHead(200, { "Content-Type": "application/json" }).end('{"accepted":1}'),
    /does not account for the \d+ events/,
  ],
  [
    "an error in JSON, with 200",
    (response) => response.writeHead(200).end('{"error":"unknown tenant"}'),
    /does not account for/,
  ],
  [
    "nginx's own 400",
    (response) => response.writeHead(400, { "Content-Type": "text/html" }).end(NGINX_400),
    /a web page/,
  ],
  [
    "a page with 422",
    (response) => response.writeHead(422, { "Content-Type": "text/html" }).end(NGINX_400),
    /a web page/,
  ],
  ["407", (response) => response.writeHead(407).end("who are you?"), /responded with 407/],
];

for (const [what, answer, complaint] of answers)
  test(`a publisher that is answered ${what} keeps its events and says so`, LIMIT, async () => {
    await using server = await serveHttp(answer);
    await keepsItsEvents(server.url, complaint);
  });

test(
  "a proxy's 413 teaches the size, and a single event that is too large for it is kept",
  LIMIT,
  async () => {
    const page = "<html><head><title>413 Request Entity Too Large</title></head></html>";
    await using server = await serveHttp((response) =>
      response.writeHead(413, { "Content-Type": "text/html" }).end(page),
    );
    using spool = new Spool();
    spool.put(4, { padding: "x".repeat(50_000) });
    await using publisher = publisherOf(spool, server.url);
    await publisher.line(/too large for the destination/);
    assert.match(await publisher.line(/rejects our requests/), /responded with 413, a web page/);
    assert.equal(spool.queue.depth(), 4);
    assert.deepEqual(spool.deadLetters(), []);
  },
);

/** An HTTP proxy; `await using proxy = await openProxy(200);` answers everything itself with that status, but no status forwards it. */
async function openProxy(status?: number) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (status !== undefined) return void response.writeHead(status).end("the proxy's");
    const forwarded = httpRequest(
      request.url!,
      { method: request.method!, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on("error", () => response.destroy());
    request.pipe(forwarded);
  });
  server.on("connect", (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.on("error", () => {});
    if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} Not For You\r\n\r\n`);
    const [host, port] = request.url!.split(":");
    const upstream = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connected\r\n\r\n");
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function proxyVariables(url: string): Record<string, string> {
  const names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
  return { ...Object.fromEntries(names.map((name) => [name, url])), NODE_USE_ENV_PROXY: "1" };
}

test("a publisher uses no proxy of the environment", LIMIT, async () => {
  await using proxy = await openProxy(200);
  await using collector = await ScriptedCollector.open();
  using spool = new Spool();
  spool.put(299);
  await using publisher = publisherOf(
    spool,
    `http://127.0.0.1:${collector.port}`,
    {},
    proxyVariables(proxy.url),
  );
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.equal(collector.acceptedNumbers.length, 299);
  assert.deepEqual(proxy.asked, []);
  assert.equal(publisher.child.exitCode, null);
});

for (const [what, settings, env] of [
  ["that its configuration names", (url: string) => ({ "collector.proxy": url }), () => ({})],
  ["of the environment when told to", () => ({ "collector.proxy": "environment" }), proxyVariables],
] as const)
  test(`a publisher takes the proxy ${what}`, LIMIT, async () => {
    await using proxy = await openProxy();
    await using collector = await ScriptedCollector.open();
    using spool = new Spool();
    spool.put(10);
    const url = `http://127.0.0.1:${collector.port}`;
    await using _publisher = publisherOf(spool, url, settings(proxy.url), env(proxy.url));
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(collector.acceptedNumbers.length, 10);
    assert.ok(proxy.asked.length > 0);
  });

test("a publisher passes by the environment's proxy for what no_proxy names", LIMIT, async () => {
  await using proxy = await openProxy(200);
  await using collector = await ScriptedCollector.open();
  using spool = new Spool();
  spool.put(10);
  const env = { ...proxyVariables(proxy.url), no_proxy: "127.0.0.1", NO_PROXY: "127.0.0.1" };
  const url = `http://127.0.0.1:${collector.port}`;
  await using _publisher = publisherOf(spool, url, { "collector.proxy": "environment" }, env);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual([collector.acceptedNumbers.length, proxy.asked], [10, []]);
});

for (const scheme of ["http", "https"])
  test(
    `a publisher whose proxy answers 407 says so, for ${scheme}, and shows no password`,
    LIMIT,
    async () => {
      await using proxy = await openProxy(407);
      const url = proxy.url.replace("//", "//user:pass-word@");
      await keepsItsEvents(`${scheme}://127.0.0.1:9`, /^(?!.*pass-word).*407/, { "collector.proxy": url });
    },
  );

const PEM = fileURLToPath(new URL("../../support/certificates/", import.meta.url));
const CA: Settings = { "collector.tls_ca_file": join(PEM, "ca.pem") };
const CLIENT: Settings = {
  "collector.tls_cert_file": join(PEM, "client.pem"),
  "collector.tls_key_file": join(PEM, "client.key"),
};

/** A collector behind TLS that takes everything. */
async function openTlsCollector(options: ServerOptions = {}) {
  const read = (name: string) => readFileSync(join(PEM, name));
  const server = createTlsServer(
    { ca: read("ca.pem"), cert: read("server.pem"), key: read("server.key"), ...options },
    (request, response) => {
      request.resume();
      request.on("end", () => response.end());
    },
  );
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

test("a publisher trusts the configured authority, and shows its certificate", LIMIT, async () => {
  await using collector = await openTlsCollector({ requestCert: true, rejectUnauthorized: true });
  using spool = new Spool();
  spool.put(10);
  await using _publisher = publisherOf(spool, collector.url, { ...CA, ...CLIENT });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
});

test("a publisher reaches a TLS collector through its proxy", LIMIT, async () => {
  await using proxy = await openProxy();
  await using collector = await openTlsCollector({ requestCert: true, rejectUnauthorized: true });
  using spool = new Spool();
  spool.put(10);
  await using _publisher = publisherOf(spool, collector.url, {
    ...CA,
    ...CLIENT,
    "collector.proxy": proxy.url,
  });
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.ok(proxy.asked.every((line) => line.startsWith("CONNECT 127.0.0.1:")) && proxy.asked.length > 0);
});

test(
  "a publisher without the certificate that the collector asks for says so, and keeps its events",
  LIMIT,
  async () => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      await using collector = await openTlsCollector({
        requestCert: true,
        rejectUnauthorized: true,
        maxVersion,
      });
      await keepsItsEvents(collector.url, /certificate|handshake|alert/i, CA);
    }
  },
);

test(
  "a publisher that does not trust the collector's certificate says so, and keeps its events",
  LIMIT,
  async () => {
    await using collector = await openTlsCollector();
    await keepsItsEvents(collector.url, /certificate/);
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    await keepsItsEvents(collector.url, /certificate/, {}, env);
  },
);

test("a publisher that speaks TLS to a plain port says so, and keeps its events", LIMIT, async () => {
  await using collector = await ScriptedCollector.open();
  await keepsItsEvents(`https://127.0.0.1:${collector.port}`, /POST https/);
});

test("a publisher reads its certificates again after SIGHUP", LIMIT, async () => {
  await using collector = await openTlsCollector();
  using directory = temporaryDirectory();
  using spool = new Spool();
  spool.put(10);
  const caFile = join(directory.path, "ca.pem");
  copyFileSync(join(PEM, "client.pem"), caFile);
  await using publisher = publisherOf(spool, collector.url, { "collector.tls_ca_file": caFile });
  await publisher.line(/rejects our requests/);
  copyFileSync(join(PEM, "ca.pem"), caFile);
  await publishing(publisher);
  publisher.signal("SIGHUP");
  await eventually("an empty queue", () => spool.queue.depth() === 0);
});

test(
  "keeps events from a maintenance page in plain text that comes in the collector's place",
  LIMIT,
  async () => {
    using spool = new Spool();
    let isMaintained = false;
    await using server = await serveHttp((response) => {
      response.end(isMaintained ? "We are back soon." : '{"accepted":3,"duplicates":0}');
    });
    await using publisher = publisherOf(spool, server.url);
    spool.put(3);
    await eventually("an acceptance", () => spool.queue.depth() === 0);
    isMaintained = true;
    spool.put(3);
    await publisher.line(/does not account for the events, as the collector did before/);
    assert.equal(spool.queue.depth(), 3);
    isMaintained = false;
    await eventually("the end of it", () => spool.queue.depth() === 0);
  },
);
