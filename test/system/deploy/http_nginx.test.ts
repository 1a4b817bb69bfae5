import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { missing, startProxy } from "../../support/balancers.ts";
import { eventually } from "../../support/eventually.ts";
import { newPublisher, newQueue } from "../../support/publisher.ts";
import { serveHttp } from "../../support/servers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

test("an nginx that asks for a password and limits bodies gets each event, once the password is right", {
  skip: missing("nginx"),
  timeout: 600_000,
}, async () => {
  const lines: string[] = [];
  await using service = await serveHttp((response, { body }) => {
    lines.push(...body.toString().trim().split("\n"));
    response.end();
  });
  using files = temporaryDirectory();
  const users = join(files.path, "users");
  writeFileSync(users, "events:{PLAIN}the right password\n");
  await using nginx = await startProxy(
    `location / { auth_basic events; auth_basic_user_file ${users}; client_max_body_size 60k; proxy_pass ${service.url}; }`,
  );
  const settings = (password: string) => ({
    destination: "http",
    "http.url": `${nginx.url}in`,
    "http.auth": "basic",
    "http.user": "events",
    "http.password": password,
    "http.compression": "none",
  });
  await using main = newQueue("http://127.0.0.1:9", settings("the wrong password"));
  const padding = "x".repeat(5_000);
  main.queue.putMany(Array.from({ length: 40 }, (_, n) => ({ n, padding })));
  const problem = (): string => main.publisher.status().lastProblem?.message ?? "";
  void main.publisher.run();
  await eventually("a rejected password", () =>
    /responded with 401, see http\.auth and its secret/.test(problem()),
  );
  assert.ok(
    main.publisher.metrics().maxBatchBytes < 200_000,
    "nginx checks the size first: its 413 has taught it",
  );
  const { delivered } = main.publisher.status();
  assert.deepEqual([delivered, lines.length, main.queue.depth()], [0, 0, 40]);
  await main.publisher[Symbol.asyncDispose]();

  await using right = newPublisher("http://127.0.0.1:9", main.directory, settings("the right password"));
  void right.run();
  await eventually("an empty queue", () => main.queue.depth() === 0);
  const numbers = lines.map((line) => (JSON.parse(line) as { n: number }).n);
  assert.deepEqual(
    numbers.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, n) => n),
  );
  assert.equal(right.deadLetters.list({ limit: 9 }).length, 0);
});
