/**
 * Notifying systemd: units of `Type=notify`, with a watchdog.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { env } from "node:process";
import { getLogger } from "@logtape/logtape";

const logger = getLogger(["eventspool", "systemd"]);

/**
 * Sends a state such as `READY=1` (see sd_notify(3)) where `$NOTIFY_SOCKET` is set, and does nothing elsewhere. It runs
 * systemd-notify, since none of the three runtimes has unix datagram sockets: the unit needs `NotifyAccess=all`.
 */
export function notify(state: string): void {
  if (!variable("NOTIFY_SOCKET")) return;
  const child = spawn("systemd-notify", [state], { stdio: "ignore" });
  child.on("error", ({ message }) => {
    logger.error("Cannot notify systemd of {state}: {message}", { state, message });
  });
}

/** Notifies the watchdog, if the unit has one (`WatchdogSec=`), that this process is alive, until `signal` aborts. */
export function feedWatchdog(signal: AbortSignal): void {
  const everyMs = Number(variable("WATCHDOG_USEC") ?? 0) / 1_000 / 2; // half the time, as sd_watchdog_enabled(3) asks for
  if (!(everyMs > 0)) return;
  const timer = setInterval(() => notify("WATCHDOG=1"), everyMs);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** Deno may lack the permission (`--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC`): then systemd is not notified. */
function variable(name: string): string | undefined {
  try {
    return env[name];
  } catch {
    return undefined;
  }
}
