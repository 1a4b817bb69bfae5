/**
 * Who may see the dashboard, and who may use its buttons.
 *
 * @module
 */
import { createHmac, randomBytes } from "node:crypto";
import type { Context } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { timingSafeEqual } from "hono/utils/buffer";
import { SESSION_MS } from "../../limits.ts";

/** What access is decided by. */
export interface AccessOptions {
  /** The queue's name, for the cookie's. */
  readonly queue: string;
  /** The `admin.token`; undefined: there is none. */
  readonly token: string | undefined;
  /** Whether only this machine reaches the routes. */
  readonly isLocal: boolean;
}

/**
 * `token`: those who have it, and who may do everything. `local`: those on this machine, likewise. `open`: anyone who
 * gets here, so figures only: no event, and no button.
 */
export type AccessKind = "token" | "local" | "open";

/** Names of this machine. Any other may be a hostile site's that now leads here (DNS rebinding), and its page could read ours. */
const LOOPBACK = /^(?:(?:[^.]+\.)*localhost|127(?:\.\d+){3}|\[::1\])$/i;

/** What proxies add: whoever asks through one may be on another machine. */
const PROXIED = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host"];

/** Decides who may do what. */
export class Access {
  readonly kind: AccessKind;
  /** What forms of the page carry, and no other site can know. */
  readonly formToken: string;
  readonly #token: string | undefined;
  readonly #sessionKey: string;
  readonly #cookie: string;

  constructor({ queue, token, isLocal }: AccessOptions) {
    this.kind = token !== undefined ? "token" : isLocal ? "local" : "open";
    // Keys that come from the token outlive a restart: a page that is open goes on.
    const secret = token ?? randomBytes(32).toString("hex");
    this.formToken = derive(secret, "eventspool dashboard form");
    this.#token = token;
    this.#sessionKey = derive(secret, "eventspool dashboard session");
    this.#cookie = `eventspool-${queue}`; // cookies know no port: publishers of one host share them
  }

  /** Whether events are shown and buttons work, for those who get in. */
  get isTrusted(): boolean {
    return this.kind !== "open";
  }

  /** Whether the request names this machine, and tells of no proxy, where it has to. */
  isRightHost(c: Context): boolean {
    if (this.kind !== "local") return true;
    return !PROXIED.some((name) => c.req.header(name)) && LOOPBACK.test(new URL(c.req.url).hostname);
  }

  /** Whether the request may see the page: it has the token or a session, or needs none. */
  async isAdmitted(c: Context): Promise<boolean> {
    if (this.kind !== "token") return true;
    const [, bearer] = /^Bearer (.+)$/i.exec(c.req.header("Authorization") ?? "") ?? [];
    return (bearer !== undefined && (await this.isToken(bearer))) || this.#hasSession(c);
  }

  /** Compares in constant time. */
  async isToken(text: string): Promise<boolean> {
    return this.#token !== undefined && (await timingSafeEqual(text, this.#token));
  }

  /** Gives the browser a session: a signed time at which it ends. @param path where the page is */
  async signIn(c: Context, path: string): Promise<void> {
    await setSignedCookie(c, this.#cookie, String(Date.now() + SESSION_MS), this.#sessionKey, {
      path,
      httpOnly: true,
      sameSite: "Strict",
      secure: new URL(c.req.url).protocol === "https:",
      maxAge: SESSION_MS / 1_000,
    });
  }

  /** Takes the session from the browser. */
  signOut(c: Context, path: string): void {
    deleteCookie(c, this.#cookie, { path });
  }

  /** Whether a form comes from our own page: by what the browser says of it, and by what only our page knows. */
  async isOwnForm(c: Context, formToken: unknown): Promise<boolean> {
    return isSameOrigin(c) && typeof formToken === "string" && timingSafeEqual(formToken, this.formToken);
  }

  async #hasSession(c: Context): Promise<boolean> {
    const endsAt = await getSignedCookie(c, this.#sessionKey, this.#cookie);
    return typeof endsAt === "string" && Number(endsAt) > Date.now();
  }
}

/**
 * Whether the browser says that the request comes from a page of this origin. Without a word of it (an old
 * browser, a page on plain http of another machine, where no-referrer makes the origin null) the form's token decides.
 */
export function isSameOrigin(c: Context): boolean {
  const site = c.req.header("Sec-Fetch-Site");
  if (site !== undefined) return site === "same-origin";
  const origin = c.req.header("Origin");
  return origin === undefined || origin === "null" || hostOf(origin) === new URL(c.req.url).host;
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function derive(secret: string, purpose: string): string {
  return createHmac("sha256", secret).update(purpose).digest("hex");
}
