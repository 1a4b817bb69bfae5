/**
 * Who may see the dashboard, and who may use its buttons.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { timingSafeEqual } from "hono/utils/buffer";
import type { TokenCheck } from "../../server/admin_routes.ts";
import { isOverTls, isOwnUser, isProxied, namesThisMachine } from "../../server/request_origin.ts";

/** How long one stays signed in to the dashboard, in milliseconds: 12 hours. */
export const SESSION_MS = 43_200_000;

/** What access is decided by. */
export interface AccessOptions {
  /** The queue's name, for the cookie's. */
  readonly queue: string;
  /** Knows the `admin.token`; undefined: there is none. */
  readonly tokens: TokenCheck | undefined;
  /** Whether only this machine reaches the routes. */
  readonly isLocal: boolean;
}

/**
 * `full`: events, answers and buttons. `counts`: neither of them. `none`: nothing until one has signed in.
 * `wrong-host`: nothing, since the request does not name this machine.
 */
export type AccessLevel = "full" | "counts" | "none" | "wrong-host";

/** How many browsers may be signed in at once; then the one that came first is signed out. */
const MAX_SESSIONS = 1_000;

/** What those are told whom {@link Access} answers `wrong-host`. */
export const WRONG_HOST =
  "Without a token this is for this machine only: ask for it as localhost or 127.0.0.1, or set admin.token.";

/** Decides who may do what. */
export class Access {
  /** What forms of the page carry, and no other site can know. */
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
   * What the request may see. Without a token it is all for programs of this user on this machine; figures for other
   * users, for those behind a proxy, and for everyone where the routes are not local.
   */
  async levelOf(c: Context): Promise<AccessLevel> {
    if (this.tokens !== undefined) return (await this.#isSignedIn(c, this.tokens)) ? "full" : "none";
    if (!this.isRightHost(c)) return "wrong-host";
    return this.#isLocal && !isProxied(c) && (await isOwnUser(c)) ? "full" : "counts";
  }

  /** Whether the request names this machine, where it has to: on a local address without a token. */
  isRightHost(c: Context): boolean {
    return this.tokens !== undefined || !this.#isLocal || namesThisMachine(c);
  }

  /** Lets those requests go on that name this machine, where they have to. */
  readonly checkHost: MiddlewareHandler = async (c, next) => {
    if (!this.isRightHost(c)) return c.json({ error: WRONG_HOST }, 403);
    return next();
  };

  /** Gives the browser a session. Its cookie has no Path: the browser takes the page's, whatever a proxy makes of it. */
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

  /** Tells, of a request that was admitted, whether it still would be: its session may have ended. */
  admissionOf(c: Context): () => boolean {
    const session = getCookie(c, this.#cookie) ?? "";
    return this.#isOpen(session) ? () => this.#isOpen(session) : () => true;
  }

  /** Whether a form comes from our own page: by what the browser says of it, and by what only our page knows. */
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

  /** Those that have ended, and the oldest where there are too many. */
  #forgetSessions(): void {
    for (const [session, endsAtMs] of this.#sessions)
      if (endsAtMs <= Date.now() || this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(session);
  }
}

/**
 * Whether the browser says that the request comes from a page of this origin. Without a word of it (an old
 * browser, a page on plain http of another machine, where no-referrer makes the origin null) the form's token decides;
 * likewise behind a proxy that does not say which name the browser asked for.
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
