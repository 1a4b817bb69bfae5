import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { eventually } from "./eventually.ts";
import { type Program, startCommand } from "./processes.ts";
import { rejectingUrl } from "./servers.ts";
import { temporaryDirectory } from "./temporary.ts";

const NGINX = "/usr/sbin/nginx";

/** Why no nginx can be run here; false: one can. */
export const noNginx: string | false =
  !existsSync(NGINX) && `there is no ${NGINX}: apt-get install nginx-light`;

/** A running nginx. */
export interface Nginx extends AsyncDisposable {
  /** Where it listens: `http://127.0.0.1:PORT`, or `https:`. */
  readonly url: URL;
}

/**
 * Starts an nginx with one server, whose locations these are; all else is nginx's defaults. With `tls` it ends TLS
 * with a certificate of its own.
 */
export async function startNginx(
  locations: string,
  { tls = false }: { readonly tls?: boolean } = {},
): Promise<Nginx> {
  const directory = temporaryDirectory();
  const url = new URL(await rejectingUrl());
  const certificate = tls ? makeCertificate(directory) : "";
  const listen = `127.0.0.1:${url.port}${tls ? " ssl" : ""}`;
  const file = join(directory.path, "nginx.conf");
  writeFileSync(
    file,
    `${process.getuid?.() === 0 ? "user root;" : ""} # as the publisher: only what it says gives it away
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`).join("\n  ")}
  server {
    listen ${listen};
    ${certificate}
    ${locations}
  }
}
`,
  );
  const program = startCommand([NGINX, ["-p", directory.path, "-e", "stderr", "-c", file]]);
  if (tls) url.protocol = "https:";
  await eventually("nginx", () => isListening(Number(url.port), program));
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      program.signal("SIGTERM"); // its workers would outlive a SIGKILL
      await program.ended;
      directory[Symbol.dispose]();
    },
  };
}

function makeCertificate({ path }: { readonly path: string }): string {
  const options =
    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem";
  execFileSync("openssl", options.split(" "), { cwd: path, stdio: "ignore" });
  return `ssl_certificate ${path}/cert.pem; ssl_certificate_key ${path}/key.pem;`;
}

async function isListening(port: number, program: Program): Promise<boolean> {
  if (program.child.exitCode !== null) throw new Error(`nginx ended:\n${program.stderr.join("\n")}`);
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
