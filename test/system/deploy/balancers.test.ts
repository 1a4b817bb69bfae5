import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { type Balancer, missing, startBalancer } from "../../support/balancers.ts";
import { type IssuedCertificate, NO_OPENSSL, TestAuthority } from "../../support/certificates.ts";
import { readDeployment } from "../../support/deployment.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { NO_NATS, openNats, startNats } from "../../support/nats.ts";
import { type Program, start } from "../../support/processes.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { signatureOf } from "../../support/signed.ts";
import { addressOf, publishing, Spool, stop } from "../../support/spool.ts";

/** Without mTLS: the publisher of these tests has no certificate. */
const deployedNginx = (): string =>
  readDeployment("nginx/eventspool.conf").replace(/^.*ssl_(client|verify).*$/gm, "");
const deployedHaproxy = (): string => readDeployment("haproxy/eventspool.cfg").replace(/ ca-file .*$/m, "");

const HAPROXY_DEFAULTS =
  "defaults\n mode http\n timeout connect 2s\n timeout client 30s\n timeout server 30s\n";
const haproxyOf = (backend: string): string =>
  `${HAPROXY_DEFAULTS}frontend f\n bind :443 ssl crt /etc/eventspool/balancer.pem\n default_backend b\nbackend b\n${backend}`;

const TWO_SERVERS =
  " server a 127.0.0.1:9800 check inter 200ms\n server b 127.0.0.1:9810 check inter 200ms\n";

const nginxOf = (
  location: string,
  upstream = "",
): string => `upstream c { server 127.0.0.1:9800; server 127.0.0.1:9810; ${upstream} }
server { listen 443 ssl; ssl_certificate /etc/eventspool/balancer.pem; ssl_certificate_key /etc/eventspool/balancer.key;
location / { proxy_pass http://c; ${location} } }`;

/** Balancers as people configure them. */
const BALANCERS: readonly (readonly [
  what: string,
  kind: "nginx" | "haproxy",
  config: () => string,
  prefix?: string,
])[] = [
  ["deploy/nginx", "nginx", deployedNginx],
  ["an nginx that says nothing but proxy_pass (HTTP/1.0)", "nginx", () => nginxOf("")],
  [
    "an nginx that buffers nothing and keeps connections",
    "nginx",
    () =>
      nginxOf(
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off;',
        "keepalive 8;",
      ),
  ],
  ["deploy/haproxy", "haproxy", deployedHaproxy],
  [
    "an HAProxy with a plain httpchk (HTTP/1.0, no Host)",
    "haproxy",
    () =>
      haproxyOf(
        " option httpchk GET /readyz\n server a 127.0.0.1:9800 check inter 500ms\n server b 127.0.0.1:9810 check inter 500ms\n",
      ),
  ],
  [
    "an HAProxy that checks with HEAD and closes each connection",
    "haproxy",
    () =>
      haproxyOf(
        " option httpchk HEAD /readyz HTTP/1.1\\r\\nHost:\\ collectors\n option httpclose\n server a 127.0.0.1:9800 check inter 500ms\n server b 127.0.0.1:9810 check inter 500ms\n",
      ),
  ],
  [
    "two nginx in a row, over a unix socket, that cut off a path prefix and compress",
    "nginx",
    () => `upstream c { server 127.0.0.1:9800; server 127.0.0.1:9810; keepalive 2; keepalive_requests 5; }
server { listen 443 ssl; ssl_certificate /etc/eventspool/balancer.pem; ssl_certificate_key /etc/eventspool/balancer.key;
location /in/ { proxy_pass http://unix:inner.sock:/; gzip on; gzip_types *; gzip_min_length 1; } }
server { listen unix:inner.sock; location / { rewrite ^/v2j$ /v2j/ break; proxy_pass http://c;
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host ""; proxy_request_buffering off;
proxy_set_header Forwarded "for=unknown;proto=https"; proxy_set_header X-Forwarded-Prefix /in; } }`,
    "/in",
  ],
  [
    "an HAProxy in mode tcp that ends TLS",
    "haproxy",
    () => haproxyOf(TWO_SERVERS).replaceAll("mode http", "mode tcp"),
  ],
  [
    "an HAProxy with HTTP/2 in front, shared connections, compression and little patience",
    "haproxy",
    () =>
      haproxyOf(
        ` http-reuse always\n option forwardfor\n compression algo gzip\n compression type application/json\n option httpchk\n http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host collectors\n${TWO_SERVERS}`,
      )
        .replace("balancer.pem", "balancer.pem alpn h2,http/1.1")
        .replace("timeout client 30s", "timeout client 300ms"),
  ],
];

interface Publishing {
  readonly spool: Spool;
  readonly authority: TestAuthority;
  /** A path in front of the collector's. */
  readonly prefix?: string;
}

function publisherBehind({ port }: Balancer, { spool, authority, prefix = "" }: Publishing): Program {
  const settings = {
    "collector.hostname": `127.0.0.1:${port}${prefix}`,
    "collector.scheme": "https",
    "collector.tls_ca_file": authority.caFile,
  };
  return spool.quickPublisher({ backoffMaxMs: 1_000 }, settings);
}

/** How many events are put at a time, and how often. */
const BURST = 40;
const BURSTS = 60;

for (const [what, kind, config, prefix = ""] of BALANCERS)
  test(`behind ${what}, each event is stored once while collectors are killed and started again`, {
    skip: missing(kind) || NO_NATS || NO_OPENSSL,
    timeout: 600_000,
  }, async () => {
    using authority = new TestAuthority();
    using spool = new Spool();
    await using server = await startNats();
    await using client = await openNats(server);
    await client.makeStream({ name: "EVENTS", subjects: ["events.>"] });
    const ports = await freePorts(2);
    const startCollector = async (port: number): Promise<Program> => {
      const file = spool.write("collector.ini", "event-collector", {
        ...{ listen: `127.0.0.1:${port}`, sink: "nats", "nats.servers": server.address },
        [`key.${KEY.name}`]: KEY_BASE64,
      });
      const program = start("src/commands/collector.ts", [file]);
      await addressOf(program);
      return program;
    };
    await using collectors = new AsyncDisposableStack();
    const running = await Promise.all(ports.map(startCollector));
    for (const program of running) collectors.use(program);
    await using balancer = await startBalancer(kind, config(), { collectors: ports, authority });
    await using publisher = publisherBehind(balancer, { spool, authority, prefix });
    await publishing(publisher);

    for (let burst = 1; burst <= BURSTS; burst++) {
      spool.put(BURST);
      await sleep(20);
      if (burst % 15 !== 0) continue;
      const nth = (burst / 15) % 2;
      await stop(running[nth]!, "SIGKILL");
      running[nth] = collectors.use(await startCollector(ports[nth]!));
    }
    await eventually("an empty queue", () => spool.queue.depth() === 0);
    assert.equal(await stop(publisher), 0);
    const numbers = (await client.read("EVENTS")).map(
      ({ text: event }) => (JSON.parse(event) as { n: number }).n,
    );
    const expected = Array.from({ length: BURST * BURSTS }, (_, index) => index + 1);
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      expected,
      "each of them, once",
    );
    assert.deepEqual(spool.deadLetters(), []);
  });

interface Sent {
  readonly body: Uint8Array;
  readonly headers?: Record<string, string>;
  readonly client?: IssuedCertificate;
}

async function send(balancer: Balancer, authority: TestAuthority, { body, headers = {}, client }: Sent) {
  const sent = request({
    ...{ port: balancer.port, host: "127.0.0.1", method: "POST", path: "/v2j", agent: new Agent() },
    ca: Buffer.from(authority.ca),
    ...(client && { cert: Buffer.from(client.cert), key: Buffer.from(client.key) }),
    headers: { "X-Signature": signatureOf(body), "Content-Encoding": "gzip", ...headers },
  });
  const answered = once(sent, "response");
  sent.end(gzipSync(body, { level: 0 })); // the largest that it becomes
  const [response] = await answered;
  return { status: response.statusCode as number, text: await text(response) };
}

for (const [kind, file] of [
  ["nginx", "nginx/eventspool.conf"],
  ["haproxy", "haproxy/eventspool.cfg"],
] as const)
  test(`deploy/${kind} lets the largest batch and its headers through, and publishers with a certificate alone`, {
    skip: missing(kind) || NO_OPENSSL,
    timeout: 600_000,
  }, async () => {
    using authority = new TestAuthority();
    using other = new TestAuthority();
    using spool = new Spool();
    const ports = await freePorts(2);
    await using collectors = new AsyncDisposableStack();
    for (const port of ports) {
      const program = collectors.use(
        spool.collector({ listen: `127.0.0.1:${port}`, output: `${spool.directory}/${port}.jsonl` }),
      );
      await addressOf(program);
    }
    await using balancer = await startBalancer(kind, readDeployment(file), { collectors: ports, authority });
    const client = authority.issue("publisher");
    const longest = Buffer.from(`[${`"${"x".repeat(50_997)}",`.repeat(10)}"${"x".repeat(1_986)}"]`);
    assert.equal(longest.length, 511_990);
    await eventually(
      "a collector that is up",
      async () => (await send(balancer, authority, { body: Buffer.from("[1]"), client })).status === 200,
    );
    const largestId = Number.MAX_SAFE_INTEGER;
    const ids = `0b9ee1f4-6b1c-4f8e-9d1e-2f3a4b5c6d7e:${largestId - 10}-${largestId}`;
    const largest = { body: longest, client, headers: { "Event-Ids": ids } };
    const fits = await eventually("no 503: checks of the collectors may fail on a busy machine", async () => {
      const response = await send(balancer, authority, largest);
      return response.status === 503 ? undefined : response;
    });
    assert.deepEqual([fits.status, fits.text], [200, '{"accepted":11,"duplicates":0}']);

    for (const stranger of [undefined, other.issue("stranger")]) {
      const sent: Sent = { body: Buffer.from("[1]"), ...(stranger && { client: stranger }) };
      const { status } = await send(balancer, authority, sent).catch(() => ({ status: 0 }));
      assert.ok(status === 421 || status === 0, `${status} would be a verdict on the events`);
    }
    if (kind !== "nginx") return;
    const headers = { "X-Long": "x".repeat(40_000) };
    const { status } = await send(balancer, authority, { body: Buffer.from("[1]"), client, headers });
    assert.equal(status, 421);
  });

for (const [what, mode, server] of [
  ["version 1", "http", "send-proxy"],
  ["version 2, with health checks that pass", "http", "check send-proxy-v2"],
  ["mode tcp", "tcp", "send-proxy"],
] as const)
  test(`an HAProxy that speaks the PROXY protocol (${what}) makes no dead letters, and is named`, {
    skip: missing("haproxy") || NO_OPENSSL,
    timeout: 600_000,
  }, async () => {
    using authority = new TestAuthority();
    using spool = new Spool();
    await using collector = spool.collector();
    const port = Number((await addressOf(collector)).port);
    const config = haproxyOf(` server a 127.0.0.1:9800 ${server}\n`).replace("mode http", `mode ${mode}`);
    await using balancer = await startBalancer("haproxy", config, { collectors: [port, port], authority });
    await using publisher = publisherBehind(balancer, { spool, authority });
    spool.put(20);
    await publisher.line(/rejects our requests.* 421.*PROXY protocol.*send-proxy/);
    assert.equal(spool.queue.depth(), 20);
    assert.deepEqual(spool.deadLetters(), []);
  });

const IN_THE_WAY: readonly (readonly [
  what: string,
  kind: "nginx" | "haproxy",
  config: () => string,
  said: RegExp,
])[] = [
  [
    "a maintenance page with 200",
    "nginx",
    () => nginxOf("default_type text/html; return 200 '<h1>Back soon</h1>';"),
    /rejects our requests.* 200, a web page/,
  ],
  [
    "a maintenance page with 503",
    "nginx",
    () => nginxOf("default_type text/html; return 503 '<h1>Back soon</h1>';"),
    /destination is unavailable.* 503/,
  ],
  ["a sign-in page", "nginx", () => nginxOf("return 302 /login;"), /rejects our requests.* 302/],
  [
    "its own demand for a certificate",
    "nginx",
    () =>
      nginxOf("").replace(
        "location",
        "ssl_client_certificate /etc/eventspool/publishers-ca.pem; ssl_verify_client on; location",
      ),
    /rejects our requests.* 400, a web page/,
  ],
  [
    "buffers too small for our headers",
    "nginx",
    () =>
      nginxOf("").replace(
        "location",
        "connection_pool_size 256; client_header_buffer_size 128; large_client_header_buffers 1 256; location",
      ),
    /rejects our requests.* 400, a web page/,
  ],
  [
    "a limit below one event",
    "nginx",
    () => nginxOf("client_max_body_size 10;"),
    /rejects our requests.* 413, a web page/,
  ],
  [
    "a rule that denies with 400",
    "haproxy",
    () => haproxyOf(" http-request deny deny_status 400\n server a 127.0.0.1:9800\n"),
    /rejects our requests.* 400, a web page/,
  ],
  ["no server that is up", "haproxy", () => haproxyOf(""), /destination is unavailable.* 503/],
];

for (const [what, kind, config, said] of IN_THE_WAY)
  test(`a balancer that answers with ${what} (${kind}) loses no event, and makes no dead letter`, {
    skip: missing(kind) || NO_OPENSSL,
    timeout: 600_000,
  }, async () => {
    using authority = new TestAuthority();
    using spool = new Spool();
    const [port = 0] = await freePorts(1);
    await using balancer = await startBalancer(kind, config(), { collectors: [port, port], authority });
    await using publisher = publisherBehind(balancer, { spool, authority });
    spool.put(20);
    await publisher.line(said);
    assert.equal(spool.queue.depth(), 20);
    assert.deepEqual(spool.deadLetters(), []);
  });

test("a balancer that sends a POST again after a collector died is named, and no event is lost", {
  skip: missing("haproxy") || NO_OPENSSL,
  timeout: 600_000,
}, async () => {
  using authority = new TestAuthority();
  using spool = new Spool();
  await using collector = await ScriptedCollector.open();
  const stored: number[] = [];
  collector.script = ({ numbers }, nth) => {
    const duplicates = nth === 1 ? numbers.length : 0; // the second collector has what the first one stored
    if (duplicates === 0) stored.push(...numbers);
    if (nth === 0) return { status: 0, cut: true };
    return { status: 200, body: JSON.stringify({ accepted: numbers.length, duplicates }) };
  };
  const config = haproxyOf(" retries 3\n retry-on all-retryable-errors\n server a 127.0.0.1:9800\n");
  const collectors = [collector.port, collector.port];
  await using balancer = await startBalancer("haproxy", config, { collectors, authority });
  spool.put(1);
  await using publisher = publisherBehind(balancer, { spool, authority });
  await publisher.line(/rolled back, or a proxy repeats requests/);
  await eventually("an empty queue", () => spool.queue.depth() === 0);
  assert.deepEqual(stored, [1, 1], "twice, and never not at all");
  assert.deepEqual(spool.deadLetters(), []);
});

test("deploy/nginx keeps slow senders away from the collectors", {
  skip: missing("nginx") || NO_OPENSSL,
  timeout: 600_000,
}, async () => {
  using authority = new TestAuthority();
  using spool = new Spool();
  const ports = await freePorts(2);
  await using collector = spool.collector({ listen: `127.0.0.1:${ports[0]}` });
  await addressOf(collector);
  await using balancer = await startBalancer("nginx", deployedNginx(), { collectors: ports, authority });
  using requests = new DisposableStack();
  for (let nth = 0; nth < 50; nth++) {
    const slow = request({
      ...{ port: balancer.port, host: "127.0.0.1", method: "POST", path: "/v2j", agent: new Agent() },
      ca: Buffer.from(authority.ca),
      headers: { "X-Signature": signatureOf("[1]"), "Content-Length": 1_000 },
    });
    slow.on("error", () => {});
    slow.write("x");
    requests.defer(() => void slow.destroy());
  }
  assert.equal((await send(balancer, authority, { body: Buffer.from("[1]") })).status, 200);
  const metrics = await (await fetch(`http://127.0.0.1:${ports[0]}/metrics`)).text();
  assert.match(metrics, /collector_reading_requests 0\n/);
});
