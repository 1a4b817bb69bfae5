/**
 * Routes for those who know a token.
 *
 * @module
 */
import type { MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";

/**
 * Lets through only requests with `Authorization: Bearer TOKEN`; all of them, if there is no token.
 *
 * @param setting what the token is called, for those who ask without
 */
export function guardedBy(token: string | undefined, setting: string): MiddlewareHandler {
  if (token === undefined) return (_, next) => next();
  const message = { error: `Ask with the header Authorization: Bearer TOKEN; TOKEN is ${setting}.` };
  return bearerAuth({
    token, // compared in constant time
    noAuthenticationHeader: { message },
    invalidAuthenticationHeader: { message },
    invalidToken: { message },
  });
}
