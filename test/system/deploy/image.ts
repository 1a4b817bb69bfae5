import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { readDockerfile } from "../../support/deployment.ts";
import { type Program, startCommand } from "../../support/processes.ts";
import { ROOT } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

/** For tests that run commands in what the Dockerfile makes. */
export const NEEDS_IMAGE: { readonly skip: string | false; readonly timeout: number } = {
  skip: skipReason(),
  timeout: 600_000,
};

/** Where the programs are that the base image has in its PATH. */
const BIN = "/image/bin";

/**
 * Makes, in a mount namespace of its own, `$1` the image's root: the machine's system directories, the runtime, and
 * what the Dockerfile copies, all read-only but for the volume. Then runs the rest in it, as user `$2`.
 */
const ENTER = `set -e
root=$1 user=$2 repository=$3 runtime=$4; shift 4
mount --bind "$root" "$root"
for name in bin lib lib64 usr dev proc; do
  if [ -L /$name ]; then ln -sfn "$(readlink /$name)" "$root/$name"
  elif [ -d /$name ]; then mkdir -p "$root/$name"; mount --rbind /$name "$root/$name"; fi
done
for name in src node_modules; do mount -o bind,ro "$repository/$name" "$root/app/$name"; done
for name in package.json bunfig.toml; do mount -o bind,ro "$repository/$name" "$root/app/$name"; done
mount --bind "$runtime" "$root${BIN}/bun"
mount --bind "$root/var/lib/eventspool" "$root/var/lib/eventspool"
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" "$root" env -C /app -i "$@"`;

/** A directory like the root of the publisher's image, in which its commands run as in a container. */
export class Image implements Disposable {
  readonly #root = temporaryDirectory();
  readonly #user: string;

  /** @param user `uid:gid`, who also owns the volume */
  constructor(user: string) {
    this.#user = user;
    for (const path of ["app/src", "app/node_modules", "etc/eventspool", "tmp", BIN, "var/lib/eventspool"])
      mkdirSync(join(this.#root.path, path), { recursive: true });
    for (const path of ["app/package.json", "app/bunfig.toml", join(BIN, "bun")]) this.write(path, "");
    chmodSync(this.#root.path, 0o755);
    const [uid, gid] = user.split(":").map(Number);
    chownSync(this.volume, uid!, gid!);
    chmodSync(this.volume, 0o700);
  }

  /** The directory of the queues, from outside. */
  get volume(): string {
    return join(this.#root.path, "var/lib/eventspool");
  }

  /** Writes a file of the image that all may read. */
  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.#root.path, path)), { recursive: true });
    writeFileSync(join(this.#root.path, path), text);
  }

  /** Starts a command as its user, with the image's environment and `env`, and no other. */
  start(command: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const all = [
      `PATH=${BIN}:/usr/bin:/bin`,
      ...imageEnv(),
      ...Object.entries(env).map((pair) => pair.join("=")),
    ];
    const args = [this.#root.path, this.#user, ROOT, process.execPath, ...all, ...command];
    return startCommand(["unshare", ["--mount", "sh", "-c", ENTER, "sh", ...args]], { cwd: "/" });
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }
}

/** `NAME=value` of each ENV. */
function imageEnv(): string[] {
  return readDockerfile()
    .filter(({ name }) => name === "ENV")
    .flatMap(({ value }) => value.split(" "));
}

function skipReason(): string | false {
  if (process.versions.bun === undefined) return "the image's runtime is Bun: its suite runs it";
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    return "only root of a Linux can make an image's root";
  const { status } = spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
  return status !== 0 && "mounting is not permitted here";
}
