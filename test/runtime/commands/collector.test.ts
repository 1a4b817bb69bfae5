import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { checkAddress } from "../../../src/commands/running_service.ts";
import { VERSION } from "../../../src/version.ts";
import { NO_OPENSSL, TestAuthority } from "../../support/certificates.ts";
import { assertRejection, type Result, runCommand } from "../../support/commands.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { type Program, start } from "../../support/processes.ts";
import { trickle } from "../../support/raw_http.ts";
import { ScriptedCollector } from "../../support/scripted_collector.ts";
import { freePorts } from "../../support/servers.ts";
import { signatureOf, signedBatch } from "../../support/signed.ts";
import { addressOf, stop } from "../../support/spool.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const LIMIT = { timeout: 300_000 };

const collector = (args: readonly string[]): Promise<Result> => runCommand("collector", args);

/** Writes a configuration of a collector into a directory, and returns its path. */
function configure(
  directory: string,
  lines: string,
  output: string = join(directory, "events.jsonl"),
): string {
  const path = join(directory, "config.ini");
  writeFileSync(path, `[event-collector]\noutput = ${output}\n${lines}`, { mode: 0o600 });
  return path;
}

test("prints its help and its version", LIMIT, async () => {
  const [help, version] = await Promise.all([collector(["--help"]), collector(["--version"])]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: .*collector\.ts CONFIG_FILE \[options\]$/m);
  assert.deepEqual(version, { code: 0, stdout: VERSION, stderr: [] });
});

test("rejects a command line it does not understand, and names --help", LIMIT, async () => {
  const [none, two, unknown] = await Promise.all([
    collector([]),
    collector(["a.ini", "b.ini"]),
    collector(["--chekc", "a.ini"]),
  ]);
  assertRejection(none, /collector\.ts: no configuration file/, { isUsage: true });
  assertRejection(two, /: expected one configuration file, got a\.ini and b\.ini\.$/, { isUsage: true });
  assertRejection(unknown, /: unknown option --chekc: did you mean --check\?$/, { isUsage: true });
});

test("rejects a broken configuration, and an output it cannot open, in one line", LIMIT, async () => {
  using directory = temporaryDirectory();
  using elsewhere = temporaryDirectory();
  const noKeys = configure(directory.path, "");
  const noOutput = configure(elsewhere.path, `key.k = ${KEY_BASE64}\n`, elsewhere.path);
  const [keys, output, missing] = await Promise.all([
    collector([noKeys]),
    collector([noOutput]),
    collector([join(directory.path, "absent.ini")]),
  ]);
  assertRejection(
    keys,
    /collector\.ts: .*config\.ini: \[event-collector\] key\.NAME: expected one or more keys/,
  );
  assertRejection(output, /collector\.ts: Cannot open .*: it is a directory/);
  assertRejection(missing, /collector\.ts: .*absent\.ini: .*the file does not exist$/);
});

test("rejects a taken port in one line, with 2", LIMIT, async () => {
  using directory = temporaryDirectory();
  await using taken = await ScriptedCollector.open();
  const file = configure(directory.path, `listen = 127.0.0.1:${taken.port}\nkey.k = ${KEY_BASE64}\n`);
  assertRejection(
    await collector([file]),
    /collector\.ts: listen: cannot listen on 127\.0\.0\.1:\d+: the address is in use/,
  );
});

test("answers until SIGTERM or SIGINT, then exits 0; the secret is in no output", LIMIT, async () => {
  using directory = temporaryDirectory();
  const file = configure(directory.path, `listen = 127.0.0.1:0\nkey.k = ${KEY_BASE64}\n`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using program = start("src/commands/collector.ts", ["--debug", file]);
    const response = await fetch(new URL("/v2", await addressOf(program)), { method: "POST", body: "[]" });
    assert.equal(response.status, 403);
    await response.body?.cancel();
    assert.equal(await stop(program, signal), 0);
    assert.ok(!program.stderr.join().includes(KEY_BASE64));
  }
});

/** Starts one on a free port, with the tests' key unless told. */
function startCollector(file: string): Program {
  return start("src/commands/collector.ts", [file]);
}

test("stores and answers what it receives while it stops, and exits 0", LIMIT, async () => {
  using directory = temporaryDirectory();
  const patient = "request_timeout = 120s\ngrace = 120s\n";
  const file = configure(directory.path, `listen = 127.0.0.1:0\nkey.k = ${KEY_BASE64}\n${patient}`);
  await using program = startCollector(file);
  const { hostname, port } = await addressOf(program);
  const body = `["first half",${" ".repeat(400_000)}"second half"]`;
  const sent = request({
    ...{ hostname, port, method: "POST", path: "/v2j" },
    headers: {
      "X-Signature": signatureOf(body, { name: "k", secret: KEY.secret }),
      "Content-Length": body.length,
    },
  });
  const answer = new Promise<string>((resolve, reject) => {
    sent.on("error", reject);
    sent.on("response", (response) => resolve(text(response)));
  });
  let end = 15;
  sent.write(body.slice(0, end));
  using trickling = trickle(2_000, (bytes) => {
    sent.write(body.slice(end, end + bytes)); // or it is too slow
    end += bytes;
  });
  const admin = new URL("/metrics", `http://${hostname}:${port}`);
  await eventually("the request to be there", async () =>
    /reading_requests 1\n/.test(await (await fetch(admin)).text()),
  );
  program.signal("SIGTERM");
  await eventually("a closed port", () =>
    fetch(admin).then(
      () => false,
      () => true,
    ),
  );
  trickling[Symbol.dispose]();
  sent.end(body.slice(end));
  assert.deepEqual(JSON.parse(await answer), { accepted: 2, duplicates: 0 });
  assert.equal(await program.ended, 0);
  assert.equal(readFileSync(join(directory.path, "events.jsonl"), "utf8"), '"first half"\n"second half"\n');
});

/** The status that a batch signed with the key `name` is answered with. */
async function statusOf(address: URL, name: string): Promise<number> {
  const signature = signatureOf("[1]", { name, secret: KEY.secret });
  const response = await fetch(new URL("/v2j", address), signedBatch("[1]", { "X-Signature": signature }));
  await response.text();
  return response.status;
}

test("reads its keys again on SIGHUP, and keeps them when the file cannot be used", LIMIT, async () => {
  using directory = temporaryDirectory();
  const listen = "listen = 127.0.0.1:0\n";
  const file = configure(directory.path, `${listen}key.old = ${KEY_BASE64}\n`);
  await using program = startCollector(file);
  const address = await addressOf(program);
  assert.deepEqual([await statusOf(address, "old"), await statusOf(address, "new")], [200, 403]);

  configure(directory.path, `${listen}key.old = ${KEY_BASE64}\nkey.new = ${KEY_BASE64}\n`);
  program.signal("SIGHUP");
  await program.line(/the keys are now.*old, new/);
  assert.deepEqual([await statusOf(address, "old"), await statusOf(address, "new")], [200, 200]);

  configure(directory.path, `${listen}key.new = !\n`);
  program.signal("SIGHUP");
  await program.line(/going on with the configuration as it was: .*is not Base64/);
  configure(directory.path, `${listen}key.new = ${KEY_BASE64}\n`);
  assert.equal(await statusOf(address, "old"), 200);
  program.signal("SIGHUP");
  await eventually("the old key to be unknown", async () => (await statusOf(address, "old")) === 403);
  assert.equal(await statusOf(address, "new"), 200);
});

/** What /health says, or undefined where nobody listens. */
async function healthOf(address: URL): Promise<{ status: string; reasons: string[] } | undefined> {
  return fetch(new URL("/health", address)).then(
    (response) => response.json() as Promise<{ status: string; reasons: string[] }>,
    () => undefined,
  );
}

test(
  "keeps its configuration when SIGHUP finds one that cannot be used, and says so; then uses a corrected one",
  LIMIT,
  async () => {
    using directory = temporaryDirectory();
    await using taken = await ScriptedCollector.open();
    const key = `key.k = ${KEY_BASE64}\n`;
    const listen = "listen = 127.0.0.1:0\n";
    const file = configure(directory.path, listen + key);
    await using program = startCollector(file);
    const address = await addressOf(program);
    const notPem = join(directory.path, "not.pem");
    writeFileSync(notPem, "no certificate");
    const missing = join(directory.path, "missing", "events.jsonl");
    const unusable: readonly (readonly [lines: string, output: string | undefined, reason: RegExp])[] = [
      [`listen = 127.0.0.1:${taken.port}\n${key}`, undefined, /address is in use/],
      [`${listen}admin.listen = 127.0.0.1:${taken.port}\n${key}`, undefined, /address is in use/],
      [listen + key, missing, /Cannot open .*missing/],
      [`listen = localhost:0\n${key}`, missing, /Cannot open .*missing/],
      [`${listen}request_timeout = 5s\n${key}`, missing, /Cannot open .*missing/],
      [
        `${listen}tls_cert_file = ${notPem}\ntls_key_file = ${notPem}\n${key}`,
        undefined,
        /cannot use the certificate/,
      ],
      [
        `${listen}tls_cert_file = ${missing}\ntls_key_file = ${missing}\n${key}`,
        undefined,
        /cannot read the file/,
      ],
      [`${listen}key.k_file = ${missing}\n`, undefined, /missing/],
      [listen + key, directory.path, /Cannot open/],
      [`${listen}nonsense`, undefined, /config\.ini/],
    ];
    /** While listeners change, a connection may end before the response; then the batch is sent again. */
    const isTaken = () =>
      eventually("a batch to be taken", async () => (await statusOf(address, "k").catch(() => 0)) === 200);
    for (const [lines, output, reason] of unusable) {
      const before = program.stderr.length;
      configure(directory.path, lines, output);
      program.signal("SIGHUP");
      const said = (): string => program.stderr.slice(before).join("\n");
      await eventually(`the log to say ${reason}`, () => /going on with the configuration/.test(said()));
      assert.match(said(), reason);
      await isTaken();
      const health = await eventually("the health", () => healthOf(address));
      assert.equal(health.status, "degraded");
      assert.match(health.reasons[0]!, reason);
    }
    configure(directory.path, `${listen}request_timeout = 5s\n${key}`, join(directory.path, "other.jsonl"));
    program.signal("SIGHUP");
    await eventually("the new configuration", async () => (await healthOf(address))?.status === "ok");
    await isTaken();
    assert.match(readFileSync(join(directory.path, "other.jsonl"), "utf8"), /^(1\n)+$/);
    assert.match(
      readFileSync(join(directory.path, "events.jsonl"), "utf8"),
      new RegExp(`^(1\n){${unusable.length},}$`),
      "one for each configuration that could not be used",
    );
    configure(
      directory.path,
      `${listen}output.rotate_size = 1MiB\n${key}`,
      join(directory.path, "other.jsonl"),
    );
    program.signal("SIGHUP");
    await eventually(
      "the same file with other settings",
      () => program.stderr.filter((line) => /took the configuration/.test(line)).length === 2,
    );
    await isTaken();
    assert.match(readFileSync(join(directory.path, "other.jsonl"), "utf8"), /^(1\n){2,}$/);
    assert.equal(await stop(program, "SIGTERM"), 0);
  },
);

test("loses no event that is sent while it reloads again and again", LIMIT, async () => {
  using directory = temporaryDirectory();
  const lines = (nth: number): string =>
    `listen = 127.0.0.1:0\nkey.k = ${KEY_BASE64}\nrequest_timeout = ${10 + nth}s\noutput.rotate_size = ${1 + nth}MiB\n`;
  const file = configure(directory.path, lines(0));
  await using program = startCollector(file);
  const address = await addressOf(program);
  let stored = 0;
  let isDone = false;
  const sending = (async () => {
    while (!isDone) if ((await statusOf(address, "k").catch(() => 0)) === 200) stored++;
  })();
  await eventually("a first batch", () => stored > 0);
  for (let nth = 1; nth <= 5; nth++) {
    configure(directory.path, lines(nth));
    program.signal("SIGHUP");
    await eventually(
      `reload ${nth}`,
      () => program.stderr.filter((line) => /took the configuration/.test(line)).length === nth,
    );
  }
  isDone = true;
  await sending;
  assert.equal(await stop(program, "SIGTERM"), 0);
  const kept = readFileSync(join(directory.path, "events.jsonl"), "utf8").length / 2;
  assert.ok(stored > 0 && kept >= stored, `${stored} were answered 200, ${kept} are kept`);
});

test("ends TLS itself, and takes a new certificate on SIGHUP", { ...LIMIT, skip: NO_OPENSSL }, async () => {
  using directory = temporaryDirectory();
  using authority = new TestAuthority();
  const [first, second] = [authority.issue("first"), authority.issue("second")];
  const [certFile, keyFile] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
  const install = ({ cert, key }: { cert: Uint8Array; key: Uint8Array }): void => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  install(first);
  const file = configure(
    directory.path,
    `listen = 127.0.0.1:0\nkey.k = ${KEY_BASE64}\ntls_cert_file = ${certFile}\ntls_key_file = ${keyFile}\ntls_ca_file = ${authority.caFile}\n`,
  );
  await using program = startCollector(file);
  const { port } = await addressOf(program);
  const ask = async (): Promise<string> => {
    const socket = connectTls({
      ...{ port: Number(port), host: "127.0.0.1", servername: "localhost", ca: Buffer.from(authority.ca) },
      ...{ cert: Buffer.from(first.cert), key: Buffer.from(first.key) },
    });
    try {
      await once(socket, "secureConnect");
      const name = String(socket.getPeerCertificate().subject?.CN);
      socket.write("GET /readyz HTTP/1.0\r\n\r\n");
      assert.match(await text(socket), /^HTTP\/1.. 200 /);
      return name;
    } finally {
      socket.destroy();
    }
  };
  assert.equal(await ask(), "first");
  install(second);
  program.signal("SIGHUP");
  await program.line(/took the configuration/);
  assert.equal(await ask(), "second");
  assert.equal(await stop(program, "SIGTERM"), 0);
});

test(
  "serves its health at admin.listen, and beside the batches only if no other machine can connect",
  LIMIT,
  async () => {
    using directory = temporaryDirectory();
    const key = `key.k = ${KEY_BASE64}\n`;
    const statuses = async (
      settings: string,
      ask: (program: Program) => Promise<string>,
    ): Promise<number[]> => {
      await using program = startCollector(configure(directory.path, `${key}${settings}`));
      const { port } = await addressOf(program);
      const paths = ["/health", "/metrics", "/livez"];
      const responses = [
        ...paths.map((path) => fetch(`http://127.0.0.1:${port}${path}`)),
        fetch(`${await ask(program)}/health`),
      ];
      return (await Promise.all(responses)).map(({ status }) => status);
    };
    const batches = async (program: Program): Promise<string> =>
      `http://127.0.0.1:${(await addressOf(program)).port}`;
    const apart = async (program: Program): Promise<string> => {
      const line = await program.line(/"Admin at /);
      return (JSON.parse(line) as { properties: { address: string } }).properties.address;
    };
    assert.deepEqual(await statuses("listen = 127.0.0.1:0\n", batches), [200, 200, 200, 200]);
    assert.deepEqual(await statuses("listen = 0.0.0.0:0\n", batches), [404, 404, 200, 404]);
    const guarded = "listen = 0.0.0.0:0\nadmin.token = 0123456789abcdef\n";
    assert.deepEqual(await statuses(guarded, batches), [401, 401, 200, 401]);
    const elsewhere = "listen = 127.0.0.1:0\nadmin.listen = 127.0.0.1:0\n";
    assert.deepEqual(await statuses(elsewhere, apart), [404, 404, 200, 200]);
    const off = "listen = 127.0.0.1:0\nadmin.listen = off\n";
    assert.deepEqual(await statuses(off, batches), [404, 404, 200, 404]);
  },
);

test("--check prints what was read, without a secret, and creates nothing", LIMIT, async () => {
  using directory = temporaryDirectory();
  const settings = `listen = 127.0.0.1:0\nkey.main = ${KEY_BASE64}\noutput.fsync = never\n`;
  const { code, stdout, stderr } = await collector(["--check", configure(directory.path, settings)]);
  assert.equal(code, 0, stderr.join("\n"));
  assert.deepEqual(readdirSync(directory.path), ["config.ini"]);
  assert.doesNotMatch(stdout, new RegExp(KEY_BASE64));
  const { listen, keys, sink, output_fsync, warnings } = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(
    { listen, keys, sink, output_fsync, warnings },
    { listen: "127.0.0.1:0", keys: ["main"], sink: "file", output_fsync: "never", warnings: [] },
  );
});

test("--check finds what a start would: a missing directory, a taken port", LIMIT, async () => {
  using directory = temporaryDirectory();
  await using taken = await ScriptedCollector.open();
  const key = `key.k = ${KEY_BASE64}\n`;
  const absent = configure(directory.path, key, join(directory.path, "absent", "events.jsonl"));
  assertRejection(await collector(["--check", absent]), /output: .*absent does not exist: create it/);
  const clash = configure(directory.path, `${key}listen = 127.0.0.1:${taken.port}\n`);
  assertRejection(await collector(["--check", clash]), /listen: cannot listen on .*the address is in use/);
});

test("several checks of one address at the same time pass", LIMIT, async () => {
  const [port = 0] = await freePorts(1);
  const check = (): Promise<void> => checkAddress({ host: "127.0.0.1", port }, "listen");
  await Promise.all(Array.from({ length: 20 }, check));
});

test("--check passes beside a running collector, and --strict rejects warnings", LIMIT, async () => {
  using directory = temporaryDirectory();
  const [port] = await freePorts(1);
  const config = configure(directory.path, `listen = 127.0.0.1:${port}\nkey.k = ${KEY_BASE64}\n`);
  await using program = startCollector(config);
  await addressOf(program);
  assert.equal((await collector(["--check", "--strict", config])).code, 0);
  writeFileSync(config, `${readFileSync(config, "utf8")}lisen = x\n`, { mode: 0o600 });
  assert.equal((await collector(["--check", config])).code, 0);
  for (const args of [["--check", "--strict"], ["--strict"]]) {
    const { code, stderr } = await collector([...args, config]);
    assert.equal(code, 2);
    assert.match(stderr.join("\n"), /lisen: .* did you mean listen\?\n.*: 1 warning, and with --strict/);
  }
});
