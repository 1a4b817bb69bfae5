import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";
import { freePorts } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** Where Debian's package puts it, which is on root's path alone. */
const SERVER = "/usr/sbin/clickhouse-server";
const skip = !existsSync(SERVER) && "needs ClickHouse: apt-get install clickhouse-server";

const CONFIG = (port: number, tcpPort: number, directory: string) => `<yandex>
  <logger><level>error</level><console>1</console></logger>
  <http_port>${port}</http_port><tcp_port>${tcpPort}</tcp_port><listen_host>127.0.0.1</listen_host>
  <path>${directory}/data/</path><tmp_path>${directory}/tmp/</tmp_path>
  <users_config>users.xml</users_config><mark_cache_size>5000000</mark_cache_size>
  <default_profile>default</default_profile><default_database>default</default_database>
</yandex>`;

const USERS = `<yandex><profiles><default/></profiles><quotas><default/></quotas><users><events>
  <password>right</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
</events></users></yandex>`;

/** A ClickHouse of its own in a directory. */
async function startClickHouse(directory: string, url: URL): Promise<Program> {
  const program = startCommand([SERVER, [`--config-file=${join(directory, "config.xml")}`]], {
    cwd: directory,
  });
  await eventually(
    "a ClickHouse that answers",
    async () => (await fetch(url).catch(() => undefined))?.ok === true,
  );
  return program;
}

test("a real ClickHouse has each event, through a wrong password, no table, a poison event and kill -9", {
  skip,
  timeout: 600_000,
}, async () => {
  using directory = temporaryDirectory();
  for (const name of ["data", "tmp"]) mkdirSync(join(directory.path, name));
  const [port = 0, tcpPort = 0] = await freePorts(2);
  writeFileSync(join(directory.path, "config.xml"), CONFIG(port, tcpPort, directory.path));
  writeFileSync(join(directory.path, "users.xml"), USERS);
  const url = new URL(`http://127.0.0.1:${port}/`);
  const ask = async (query: string): Promise<string> => {
    const headers = { Authorization: `Basic ${btoa("events:right")}` };
    return await (await fetch(url, { method: "POST", body: query, headers })).text();
  };
  const settings = (password: string) => ({
    destination: "http",
    "http.url": `${url}?query=INSERT INTO events FORMAT JSONEachRow`,
    "http.auth": "basic",
    "http.user": "events",
    "http.password": password,
    "http.response": "clickhouse",
    "batch.max_events": "50",
  });

  await using first = await startClickHouse(directory.path, url);
  await using main = newQueue("http://127.0.0.1:9", settings("wrong"));
  const put = (from: number, to: number) =>
    main.queue.putMany(Array.from({ length: to - from }, (_, index) => ({ n: from + index })));
  put(0, 100);
  void main.publisher.run();
  await eventually("a rejected password", () =>
    /401, see http\.auth and its secret/.test(main.publisher.status().lastProblem?.message ?? ""),
  );
  await main.publisher[Symbol.asyncDispose]();

  await using right = newPublisher("http://127.0.0.1:9", main.directory, settings("right"));
  void right.run();
  await eventually("a missing table", () =>
    /404, see http\.url.*events doesn't exist/.test(right.status().lastProblem?.message ?? ""),
  );
  assert.equal(main.queue.depth(), 100);
  await ask("CREATE TABLE events (n UInt32) ENGINE = MergeTree() ORDER BY n");

  main.queue.put({ n: "no number" });
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const [letter, ...more] = right.deadLetters.list({ limit: 9 });
  assert.match(right.deadLetters.get(letter!.id)!.response, /^Code: 27/);
  assert.equal(more.length, 0);

  put(100, 200);
  first.signal("SIGKILL");
  await first.ended;
  put(200, 300);
  await eventually("a failed request", () => right.status().consecutiveFailures > 0);
  await using _second = await startClickHouse(directory.path, url);
  await eventually("an empty queue", () => main.queue.depth() === 0);
  assert.equal(await ask("SELECT count(DISTINCT n), min(n), max(n) FROM events"), "300\t0\t299\n");
});
