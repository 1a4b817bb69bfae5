/** Who may see the dashboard, and who may use its buttons. */
import { randomBytes } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { timingSafeEqual } from "hono/utils/buffer";
import type { TokenCheck } from "../../server/admin_routes.ts";
import { isOverTls, isOwnUser, isProxied, namesThisMachine } from "../../server/request_origin.ts";

/** How long a browser stays signed in to the dashboard, in milliseconds: 12 hours. */
export const SESSION_MS = 43_200_000;

/** Options of {@link Access}. */
export interface AccessOptions {
  /** The queue's name, for the name of the cookie. */
  readonly queue: string;
  /** Checks the `admin.token`; undefined: there is none. */
  readonly tokens: TokenCheck | undefined;
  /** Whether only this machine reaches the routes. */
  readonly isLocal: boolean;
}

/**
 * `full`: events, responses and buttons. `counts`: none of these. `none`: nothing, until the user signs in.
 * `wrong-host`: nothing, because the request does not name this machine.
 */
export type AccessLevel = "full" | "counts" | "none" | "wrong-host";

/** How many browsers may be signed in at once; beyond that the first one is signed out. */
const MAX_SESSIONS = 1_000;

/** The response to a request for a wrong host name. */
export const WRONG_HOST =
  "Without admin.token only this machine may ask: use localhost or 127.0.0.1 as the host name, or set admin.token.";

/** Decides what a request may see and do. */
export class Access {
  /** A secret in the page's forms that no other site can know. */
  readonly formToken: string = newSecret();
  /** Undefined where there is no `admin.token`. */
  readonly tokens: TokenCheck | undefined;
  readonly #isLocal: boolean;
  readonly #cookie: string;
  /** When each session ends, in Unix milliseconds. */
  readonly #sessions = new Map<string, number>();

  constructor({ queue, tokens, isLocal }: AccessOptions) {
    this.tokens = tokens;
    this.#isLocal = isLocal;
    this.#cookie = `eventspool-${queue}`; // cookies know no port: publishers of one host share them
  }

  /**
   * What the request may see. Without a token: everything for programs of this user on this machine; counts for other
   * users, for clients of a proxy, and for everyone if the routes are not local.
   */
  async levelOf(c: Context): Promise<AccessLevel> {
    if (this.tokens !== undefined) return (await this.#isSignedIn(c, this.tokens)) ? "full" : "none";
    if (!this.isRightHost(c)) return "wrong-host";
    return this.#isLocal && !isProxied(c) && (await isOwnUser(c)) ? "full" : "counts";
  }

  /** Whether the request names this machine, if it must: on a local address without a token. */
  isRightHost(c: Context): boolean {
    return this.tokens !== undefined || !this.#isLocal || namesThisMachine(c);
  }

  /** Rejects requests that must name this machine and do not. */
  readonly checkHost: MiddlewareHandler = async (c, next) => {
    if (!this.isRightHost(c)) return c.json({ error: WRONG_HOST }, 403);
    return next();
  };

  /** Gives the browser a session. Its cookie has no Path: the browser uses the page's, even if a proxy changes paths. */
  signIn(c: Context): void {
    const session = newSecret();
    this.#forgetSessions();
    this.#sessions.set(session, Date.now() + SESSION_MS);
    setCookie(c, this.#cookie, session, {
      path: "",
      httpOnly: true,
      sameSite: "Strict",
      secure: isOverTls(c),
      maxAge: SESSION_MS / 1_000,
    });
  }

  /** Ends the session, here and in the browser. */
  signOut(c: Context): void {
    this.#sessions.delete(getCookie(c, this.#cookie) ?? "");
    deleteCookie(c, this.#cookie, { path: "", secure: isOverTls(c) });
  }

  /** A function that says whether an admitted request still would be: its session may have ended. */
  admissionOf(c: Context): () => boolean {
    const session = getCookie(c, this.#cookie) ?? "";
    return this.#isOpen(session) ? () => this.#isOpen(session) : () => true;
  }

  /** Whether a form comes from our own page, by the browser's headers and by a secret that only our page has. */
  async isOwnForm(c: Context, formToken: unknown): Promise<boolean> {
    return isSameOrigin(c) && typeof formToken === "string" && timingSafeEqual(formToken, this.formToken);
  }

  async #isSignedIn(c: Context, tokens: TokenCheck): Promise<boolean> {
    if (this.#isOpen(getCookie(c, this.#cookie) ?? "")) return true;
    const [, bearer] = /^Bearer (.+)$/i.exec(c.req.header("Authorization") ?? "") ?? [];
    return bearer !== undefined && (await tokens.check(bearer, c)) === "right";
  }

  #isOpen(session: string): boolean {
    return (this.#sessions.get(session) ?? 0) > Date.now();
  }

  /** Removes sessions that have ended, and the oldest if there are too many. */
  #forgetSessions(): void {
    for (const [session, endsAtMs] of this.#sessions)
      if (endsAtMs <= Date.now() || this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(session);
  }
}

/**
 * Whether the browser says that the request comes from a page of this origin. If it does not say (an old browser, or a
 * page on plain http of another machine, where no-referrer makes the origin null), the form's token decides; also behind
 * a proxy that does not pass on the host name.
 */
export function isSameOrigin(c: Context): boolean {
  const site = c.req.header("Sec-Fetch-Site");
  if (site !== undefined) return site === "same-origin";
  const origin = c.req.header("Origin");
  if (origin === undefined || origin === "null") return true;
  const forwardedHost = c.req.header("X-Forwarded-Host");
  if (forwardedHost === undefined && isProxied(c)) return true;
  return [new URL(c.req.url).host, forwardedHost].includes(hostOf(origin) ?? "");
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function newSecret(): string {
  return randomBytes(32).toString("hex");
}
