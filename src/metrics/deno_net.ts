/**
 * What Deno lets UDP do.
 *
 * @module
 */

/** The part of `Deno` that is asked. */
interface DenoPermissions {
  readonly permissions: { querySync(asked: { name: "net"; host: string }): { readonly state: string } };
}

/** An IP address and a port, as `--allow-net` has them. */
interface UdpAddress {
  readonly address: string;
  readonly family: number;
  readonly port: number;
}

/**
 * What `--allow-net` must name for packets to leave for an address, and does not; undefined: nothing, or this is not
 * Deno. To be asked before a socket is opened: what `node:dgram` may not do under Deno is an uncaught error.
 */
export function missingUdpPermission({ address, family, port }: UdpAddress): string | undefined {
  const { Deno: deno } = globalThis as { Deno?: DenoPermissions };
  if (deno === undefined) return undefined;
  const hosts = family === 6 ? ["[::]:0", `[${address}]:${port}`] : ["0.0.0.0:0", `${address}:${port}`];
  const missing = hosts.filter(
    (host) => deno.permissions.querySync({ name: "net", host }).state !== "granted",
  );
  return missing.length === 0 ? undefined : missing.join(",");
}
