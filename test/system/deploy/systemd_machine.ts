import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { eventually } from "../../support/eventually.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const SYSTEMD = "/lib/systemd/systemd";

/** Where cgroup 2 is: by itself, or beside cgroup 1. */
const CGROUPS = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) =>
  existsSync(join(path, "cgroup.procs")),
);

/** Why there is no machine with a systemd of its own here, for `skip`; false: there can be. */
export const NO_SYSTEMD_MACHINE: string | false =
  (process.getuid?.() !== 0 && "only root can start a systemd of its own") ||
  (!existsSync(SYSTEMD) && "systemd is not installed: apt-get install systemd") ||
  (CGROUPS === undefined && "there is no cgroup 2") ||
  (!/\boverlay\b/.test(readFileSync("/proc/filesystems", "utf8")) && "the kernel has no overlayfs") ||
  (spawnSync("unshare", ["--mount", "--pid", "--fork", "--net", "true"]).status !== 0 &&
    "this machine lets nobody unshare namespaces");

/**
 * Makes the root: this machine's own, on which nothing that is written stays; with this repository in `/opt/eventspool`
 * and this Bun in `/usr/local/bin`. Then systemd starts in it, as process 1.
 */
const BOOT = `
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 none "$DIRECTORY"
mkdir -p "$DIRECTORY/upper" "$DIRECTORY/work" "$DIRECTORY/root"
mount -t overlay -o "lowerdir=/,upperdir=$DIRECTORY/upper,workdir=$DIRECTORY/work" none "$DIRECTORY/root"
cd "$DIRECTORY/root"
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run
mount -t tmpfs none tmp
mount -t tmpfs -o mode=0755 none dev
for device in null zero full random urandom tty; do cp -a /dev/$device dev/; done
mkdir -p dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 none dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -p opt/eventspool old usr/local/bin
rm -rf etc/eventspool var/lib/eventspool etc/systemd/system/eventspool*
mount --bind "$REPOSITORY" opt/eventspool
cp "$BUN" usr/local/bin/bun
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=eventspool PATH=/usr/sbin:/usr/bin:/sbin:/bin ${SYSTEMD} --unit=basic.target >/dev/null 2>&1
`;

/** A machine with a systemd and a network of its own. */
export interface SystemdMachine extends AsyncDisposable {
  /** Runs a script as root in `/opt/eventspool`. */
  run(script: string, env?: Readonly<Record<string, string>>): SpawnSyncReturns<string>;
  /** Starts a program in it. */
  start(command: string, args: readonly string[], env?: Record<string, string>): Program;
}

/** Starts one. Resolves when its units have started. */
export async function startMachine(): Promise<SystemdMachine> {
  const directory = temporaryDirectory();
  const group = join(CGROUPS!, `eventspool-test-${process.pid}-${Date.now()}`);
  mkdirSync(group);
  const namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup"];
  // The group is joined before its namespace is made: it is then the root of all groups in there.
  const script = `echo $$ > "${group}/cgroup.procs" && exec unshare ${namespaces.join(" ")} sh -c "$BOOT"`;
  const boot = startCommand(["sh", ["-c", script]], {
    env: { BOOT, DIRECTORY: directory.path, REPOSITORY: ROOT, BUN: process.execPath },
  });
  const inside = (): string => {
    const pid = boot.child.pid!;
    const [first = ""] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    return first;
  };
  const enter = (): string[] => ["-t", inside(), "-m", "-p", "-n", "-u", "-i", "-C"];
  const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin" };
  const machine: SystemdMachine = {
    run: (text, env = {}) =>
      spawnSync("nsenter", [...enter(), "sh", "-ec", `cd /opt/eventspool\n${text}`], {
        encoding: "utf8",
        env: { ...environment, ...env },
        timeout: 240_000,
      }),
    start: (command, args, env = {}) =>
      startCommand(["nsenter", [...enter(), command, ...args]], { env: { ...environment, ...env } }),
    [Symbol.asyncDispose]: async () => {
      await boot[Symbol.asyncDispose](); // its process 1 dies with it, and all others with that
      await eventually("an empty control group", () => removeGroups(group));
      directory[Symbol.dispose]();
    },
  };
  try {
    await eventually("a systemd that runs", () => {
      const { stdout } = machine.run("systemctl is-system-running || true");
      return /running|degraded/.test(stdout);
    });
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw new Error(`systemd did not start: ${boot.stderr.join("\n")}`, { cause: error });
  }
}

/** A group can be removed when those below it are, and no process is in it. */
function removeGroups(group: string): boolean {
  spawnSync("find", [group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
  return !existsSync(group);
}
