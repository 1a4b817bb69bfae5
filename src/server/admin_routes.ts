/** What the admin routes of publisher and collector share: the token, and the response of `/health`. */
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { HTTPException } from "hono/http-exception";
import { timingSafeEqual } from "hono/utils/buffer";
import { escapeControls } from "../format.ts";
import type { RequestEnv } from "./serve.ts";

/** The period in which wrong tokens are counted, in milliseconds. */
const WINDOW_MS = 60_000;

/** The most wrong tokens of one address within {@link WINDOW_MS}. */
export const MAX_WRONG_TOKENS_PER_ADDRESS = 10;

/** The most wrong tokens of all addresses within {@link WINDOW_MS}. */
export const MAX_WRONG_TOKENS = 100;

/** The result of a check. `throttled`: the token is wrong, and there were too many wrong ones before. */
export type TokenResult = "right" | "wrong" | "throttled";

/**
 * Checks tokens, and counts the wrong ones. The right token always passes, so a client that shares its address with an
 * attacker, on loopback or behind a proxy, is not locked out. Guessing is hopeless because of the token's length.
 */
export class TokenCheck {
  readonly #token: string;
  #windowEndsAtMs = 0;
  #wrongCount = 0;
  #wrongByAddress = new Map<string, number>();

  constructor(token: string) {
    this.#token = token;
  }

  /** Compares in constant time. */
  async check(text: string, c: Context): Promise<TokenResult> {
    if (await timingSafeEqual(text, this.#token)) return "right";
    return this.#count(addressOf(c)) ? "wrong" : "throttled";
  }

  /** The rest of the period, in whole seconds, for `Retry-After`. */
  get retryAfterS(): number {
    return Math.max(1, Math.ceil((this.#windowEndsAtMs - performance.now()) / 1_000));
  }

  /** Counts a wrong token; false beyond a limit. At most {@link MAX_WRONG_TOKENS} addresses are held. */
  #count(address: string): boolean {
    const nowMs = performance.now();
    if (nowMs >= this.#windowEndsAtMs) {
      this.#windowEndsAtMs = nowMs + WINDOW_MS;
      this.#wrongCount = 0;
      this.#wrongByAddress = new Map();
    }
    const before = this.#wrongByAddress.get(address) ?? 0;
    if (this.#wrongCount >= MAX_WRONG_TOKENS || before >= MAX_WRONG_TOKENS_PER_ADDRESS) return false;
    this.#wrongCount++;
    this.#wrongByAddress.set(address, before + 1);
    return true;
  }
}

/**
 * Rejects requests without `Authorization: Bearer TOKEN` with 401, and too many wrong tokens with 429. Without
 * `tokens`, all requests pass.
 *
 * @param setting the setting of the token, for the response
 */
export function guardedBy(tokens: TokenCheck | undefined, setting: string): MiddlewareHandler {
  if (tokens === undefined) return (_, next) => next();
  const message = { error: `Send the header Authorization: Bearer TOKEN; TOKEN is ${setting}.` };
  return bearerAuth({
    verifyToken: async (token, c) => {
      const result = await tokens.check(token, c);
      if (result === "throttled") throw tooManyWrongTokens(tokens.retryAfterS);
      return result === "right";
    },
    noAuthenticationHeader: { message },
    invalidAuthenticationHeader: { message },
    invalidToken: { message },
  });
}

function tooManyWrongTokens(retryAfterS: number): HTTPException {
  const error = `Too many wrong tokens: try again in ${retryAfterS} s. The right token is always accepted.`;
  const headers = { "Retry-After": String(retryAfterS) };
  return new HTTPException(429, { res: Response.json({ error }, { status: 429, headers }) });
}

/** The address of the client; of IPv6 the network, since a host has any number of addresses in it. */
function addressOf(c: Context): string {
  const address = (c.env as Partial<RequestEnv> | undefined)?.incoming?.socket?.remoteAddress ?? "";
  const isIPv6 = address.includes(":") && !address.startsWith("::"); // node:net's would cost 8 ms of loading under Bun
  return isIPv6 ? address.split(":", 4).join(":") : address;
}

/** Keeps a response out of caches, unless its route says otherwise. */
export const noStore: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "no-store");
};

/** Responds 503 if the status is `failing`. Controls in texts of other systems are escaped: people read them in a terminal. */
export function respondWithHealth(c: Context, health: { readonly status: string }): Response {
  const text = escapeControls(JSON.stringify(health));
  return c.body(text, health.status === "failing" ? 503 : 200, { "Content-Type": "application/json" });
}
