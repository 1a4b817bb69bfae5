/**
 * Routes for those who know a token.
 *
 * @module
 */
import type { Context, MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { HTTPException } from "hono/http-exception";
import { timingSafeEqual } from "hono/utils/buffer";
import type { RequestEnv } from "./serve.ts";

/** How long wrong tokens are counted together, in milliseconds. */
const WINDOW_MS = 60_000;

/** How many wrong tokens one address may send within {@link WINDOW_MS}. */
export const MAX_WRONG_TOKENS_PER_ADDRESS = 10;

/** How many wrong tokens all addresses may send within {@link WINDOW_MS}. */
export const MAX_WRONG_TOKENS = 100;

/** What became of a token. `throttled`: it is wrong, and so were too many before it. */
export type TokenResult = "right" | "wrong" | "throttled";

/**
 * Checks tokens, and counts the wrong ones. The right token always passes: whoever shares an address with the one who
 * guesses, on loopback or behind a proxy, is not locked out. The length of a token is what makes guessing hopeless.
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

  /** How long until wrong tokens are counted anew, in whole seconds, for `Retry-After`. */
  get retryAfterS(): number {
    return Math.max(1, Math.ceil((this.#windowEndsAtMs - performance.now()) / 1_000));
  }

  /** False: that is one wrong token too many. Addresses are kept only until the common limit is reached. */
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
 * Lets through only requests with `Authorization: Bearer TOKEN`; all of them, if there is no token. Too many wrong
 * tokens are answered 429.
 *
 * @param setting what the token is called, for those who ask without
 */
export function guardedBy(tokens: TokenCheck | undefined, setting: string): MiddlewareHandler {
  if (tokens === undefined) return (_, next) => next();
  const message = { error: `Ask with the header Authorization: Bearer TOKEN; TOKEN is ${setting}.` };
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
  const error = `Too many wrong tokens: try again in ${retryAfterS} s. The right one is always taken.`;
  const headers = { "Retry-After": String(retryAfterS) };
  return new HTTPException(429, { res: Response.json({ error }, { status: 429, headers }) });
}

/** The address a request comes from; of IPv6 the network, of which each host has as many addresses as it likes. */
function addressOf(c: Context): string {
  const address = (c.env as Partial<RequestEnv> | undefined)?.incoming?.socket?.remoteAddress ?? "";
  return address.includes(":") && !address.startsWith("::") ? address.split(":", 4).join(":") : address;
}
