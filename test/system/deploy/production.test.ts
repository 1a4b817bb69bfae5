import assert from "node:assert/strict";
import { test } from "node:test";
import { readBlocks } from "../../support/doc_page.ts";
import { eventually } from "../../support/eventually.ts";
import { KEY, KEY_BASE64 } from "../../support/keys.ts";
import { NO_SYSTEMD_MACHINE, type SystemdMachine, startMachine } from "./systemd_machine.ts";

const skip = NO_SYSTEMD_MACHINE;
const timeout = 240_000;
const UNIT = "eventspool-publisher@main.service";

/** The shell blocks of docs/production.md, as they are there. */
const [INSTALL, JOIN, CHECK_AND_RELOAD] = readBlocks("docs/production.md")
  .filter(({ language }) => language === "sh")
  .map(({ text }) => text) as [string, string, string];

/** Runs commands as root, and returns what they print. */
function run(machine: SystemdMachine, script: string, env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr } = machine.run(script, env);
  assert.equal(status, 0, `${script}\n${stdout}${stderr}`);
  return stdout.trim();
}

/** What systemd says of the unit: `property(machine, "ActiveState")`. */
function property(machine: SystemdMachine, name: string, unit: string = UNIT): string {
  return run(machine, `systemctl show --value -p ${name} ${unit}`);
}

const READY = '{"status":"ready"}';

/** Asks the publisher whether it is ready. */
const ASK = `bun -e 'console.log(await (await fetch("http://127.0.0.1:9900/readyz")).text())'`;

/** A machine on which docs/production.md was followed, with a collector in the place of events.example.com. */
async function install(machine: SystemdMachine): Promise<void> {
  run(
    machine,
    `mkdir -p /etc/collector && cat > /etc/collector/collector.ini <<'END'
[event-collector]
listen = 127.0.0.1:9800
output = /var/tmp/collected.jsonl
key.${KEY.name} = ${KEY_BASE64}
END
    chmod 600 /etc/collector/collector.ini
    systemd-run --quiet --unit=collector bun /opt/eventspool/src/commands/collector.ts /etc/collector/collector.ini`,
  );
  run(machine, INSTALL, { EVENTS_KEY_SECRET: KEY_BASE64 });
}

/** Sets the collector's address and the key's name, as an operator has to. */
function configure(machine: SystemdMachine, file: string): void {
  run(
    machine,
    `sed -i 's/^collector.hostname = .*/collector.hostname = 127.0.0.1:9800\\ncollector.scheme = http/;
             s/^key.name = .*/key.name = ${KEY.name}/' ${file}`,
  );
}

test("docs/production.md, followed by root, makes a publisher that runs, with the modes it promises", {
  skip,
  timeout,
}, async () => {
  await using machine = await startMachine();
  await install(machine);
  assert.equal(property(machine, "ActiveState"), "active");
  await eventually("a publisher that is ready", () => machine.run(ASK).stdout.trim() === READY);
  assert.equal(run(machine, "systemctl is-enabled eventspool-publisher@main.service"), "enabled");
  assert.equal(
    run(
      machine,
      "cd / && stat -c '%n %a %U %G' etc/eventspool etc/eventspool/* var/lib/eventspool var/lib/eventspool/events-main.db",
    ),
    [
      "etc/eventspool 750 root eventspool",
      "etc/eventspool/main.key 600 root root",
      "etc/eventspool/publisher.ini 640 root eventspool",
      "var/lib/eventspool 2770 eventspool eventspool",
      "var/lib/eventspool/events-main.db 660 eventspool eventspool",
    ].join("\n"),
  );
  const pid = property(machine, "MainPID");
  assert.equal(run(machine, `stat -c %U /proc/${pid}`), "eventspool");
  assert.equal(property(machine, "WatchdogUSec"), "1min");
  assert.doesNotMatch(run(machine, `tr '\\0' '\\n' < /proc/${pid}/environ`), new RegExp(KEY_BASE64));
});

test("what docs/production.md says of a change: checked as its user, reloaded, and delivered", {
  skip,
  timeout,
}, async () => {
  await using machine = await startMachine();
  await install(machine);
  // A service of another user that joins by the drop-in, and its first event.
  run(
    machine,
    `useradd --system shop
    cat > /etc/systemd/system/YOUR-SERVICE.service <<'END'
[Service]
User=shop
ProtectSystem=strict
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/bun -e 'import { EventQueue, serializeJsonEvent } from "/opt/eventspool/src/mod.ts"; new EventQueue("main", serializeJsonEvent, { fileMode: 0o660 }).put({ n: 1 })'
END`,
  );
  run(machine, JOIN);
  assert.equal(property(machine, "Result", "YOUR-SERVICE.service"), "success");

  const pid = property(machine, "MainPID");
  configure(machine, "/etc/eventspool/publisher.ini");
  const checked = run(machine, CHECK_AND_RELOAD);
  const { url, warnings } = JSON.parse(checked) as { url: string; warnings: string[] };
  assert.deepEqual([url, warnings], ["http://127.0.0.1:9800/v2j", []]);
  await eventually("the event", () => machine.run("cat /var/tmp/collected.jsonl").stdout === '{"n":1}\n');
  assert.equal(property(machine, "MainPID"), pid, "a reload starts nothing anew");
  assert.equal(property(machine, "NRestarts"), "0");
});

test("a publisher that hangs is started again by the watchdog, and one that is killed, too", {
  skip,
  timeout,
}, async () => {
  await using machine = await startMachine();
  run(
    machine,
    `mkdir -p /etc/systemd/system/${UNIT}.d
    printf '[Service]\\nWatchdogSec=2s\\nRestartSec=100ms\\n' > /etc/systemd/system/${UNIT}.d/quick.conf`,
  );
  await install(machine);
  // On a busy machine, two seconds are too short for a process that is well, too: it may end at any moment.
  const signal = (name: string): Promise<string> =>
    eventually(`a process that gets ${name}`, () => {
      const pid = property(machine, "MainPID");
      return pid !== "0" && machine.run(`kill -${name} ${pid}`).status === 0 ? pid : undefined;
    });
  const isOther = (pid: string) => (): boolean =>
    property(machine, "ActiveState") === "active" && !["0", pid].includes(property(machine, "MainPID"));
  await eventually("another process than the one that hangs", isOther(await signal("STOP")));
  await eventually("another process than the one that was killed", isOther(await signal("KILL")));
  await eventually("a publisher", () => machine.run(ASK).stdout.trim() === READY);
});

test("a configuration that cannot be used leaves the unit failed, and does not start it again and again", {
  skip,
  timeout,
}, async () => {
  await using machine = await startMachine();
  await install(machine);
  for (const [what, spoil, repair] of [
    [
      "root's own file",
      "chgrp root /etc/eventspool/publisher.ini",
      "chgrp eventspool /etc/eventspool/publisher.ini",
    ],
    [
      "an option",
      "echo 'batch.max_age = soon' >> /etc/eventspool/publisher.ini",
      "sed -i '$d' /etc/eventspool/publisher.ini",
    ],
    [
      "a key that is no Base64",
      "echo '?' > /etc/eventspool/main.key",
      `echo ${KEY_BASE64} > /etc/eventspool/main.key`,
    ],
  ] as const) {
    run(machine, `${spoil}\nsystemctl restart ${UNIT} || true`);
    await eventually(`a failed unit: ${what}`, () => property(machine, "ActiveState") === "failed");
    assert.equal(property(machine, "ExecMainStatus"), "2", what);
    assert.equal(property(machine, "NRestarts"), "0", what);
    run(machine, `${repair}\nsystemctl start ${UNIT}`);
    assert.equal(property(machine, "ActiveState"), "active", what);
  }
});

test("a disk that is full is waited for", { skip, timeout }, async () => {
  await using machine = await startMachine();
  run(
    machine,
    `mkdir -p /etc/systemd/system/${UNIT}.d /var/lib/eventspool
    printf '[Service]\\nRestartSec=100ms\\n' > /etc/systemd/system/${UNIT}.d/quick.conf
    mount -t tmpfs -o size=1m none /var/lib/eventspool
    head -c 2M /dev/zero > /var/lib/eventspool/filler || true`,
  );
  const { status } = machine.run(INSTALL, { EVENTS_KEY_SECRET: KEY_BASE64 });
  assert.notEqual(status, 0, "it says that the unit does not start");
  await eventually("attempts", () => Number(property(machine, "NRestarts")) >= 2);
  run(machine, "rm /var/lib/eventspool/filler");
  await eventually("a publisher", () => property(machine, "ActiveState") === "active");
});
