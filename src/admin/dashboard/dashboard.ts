/** The dashboard: one page that shows how a publisher is, live, and lets dead letters be retried or purged. */
import { randomUUID } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import type { DeadLetterSelection } from "../../publisher/dead_letters.ts";
import { DEFAULT_SUBSCRIPTION } from "../../storage/subscriptions.ts";
import { type Access, type AccessLevel, isSameOrigin, WRONG_HOST } from "./access.ts";
import { Charts } from "./charts.ts";
import { DeadLetterList } from "./dead_letters.ts";
import { LiveFeed, type Update } from "./live.ts";
import { html, plural } from "./markup.ts";
import {
  dashboardPage,
  loginPage,
  messagePage,
  type PageLocation,
  regionsOf,
  SCRIPT_HASH,
  SLASH_HASH,
  STYLE_HASH,
} from "./page.ts";
import { DASHBOARD_DEAD_LETTERS, type Snapshot, Watch, type WatchedPublisher } from "./snapshot.ts";

/** The largest form that the dashboard accepts, in bytes. */
const MAX_FORM_BYTES = 4_096;

/** When there are too many live pages, how soon to try again, in seconds. */
const RETRY_AFTER_S = "10";

/** So that neither nginx nor another proxy buffers updates. */
const STREAM_HEADERS = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store, no-transform",
  "X-Accel-Buffering": "no",
};

/** The page itself and nothing else: no other script, style or frame, no matter what an event contains. */
const headers: MiddlewareHandler = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: [SCRIPT_HASH, SLASH_HASH],
    styleSrc: [STYLE_HASH],
    imgSrc: ["data:"],
    connectSrc: ["'self'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
  },
  referrerPolicy: "no-referrer",
  xFrameOptions: "DENY",
  // These are for a whole site, or for https, and the page may be neither: browsers would complain.
  strictTransportSecurity: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
});

/**
 * The dashboard as a Hono app: `GET /` is the page, `GET /events` what keeps it live, and its forms are
 * `POST /retry`, `/purge`, `/login` and `/logout`.
 */
export function dashboard(publisher: WatchedPublisher, access: Access): Hono<BoardEnv> {
  const board = new Board(publisher, access);
  const app = new Hono<BoardEnv>();
  const form = [headers, bodyLimit({ maxSize: MAX_FORM_BYTES })] as const;
  app.get("/", headers, board.admit, (c) => board.page(c));
  app.get("/events", headers, board.admit, (c) => board.events(c));
  app.post("/retry", ...form, board.admit, board.ownForm, (c) => board.retry(c));
  app.post("/purge", ...form, board.admit, board.ownForm, (c) => board.purge(c));
  app.post("/logout", ...form, board.admit, board.ownForm, (c) => board.logout(c));
  app.post("/login", ...form, (c) => board.login(c));
  return app;
}

/** What a request may see, once it is admitted. */
interface BoardEnv {
  readonly Variables: { view: View };
}

type BoardContext = Context<BoardEnv>;

/** What requests with the same access see: they share the work, and the pages of one kind cannot use up the other's. */
interface View {
  readonly isTrusted: boolean;
  readonly letters: DeadLetterList;
  readonly feed: LiveFeed;
}

/** Answers the requests. */
class Board {
  readonly #publisher: WatchedPublisher;
  readonly #access: Access;
  readonly #watch: Watch;
  readonly #views: Readonly<Record<"full" | "counts", View>>;
  readonly #charts = new Charts();
  readonly #boot = randomUUID();

  constructor(publisher: WatchedPublisher, access: Access) {
    this.#publisher = publisher;
    this.#access = access;
    this.#watch = new Watch(publisher);
    this.#views = { full: this.#newView(true), counts: this.#newView(false) };
  }

  /** Admits requests that may see the page. */
  readonly admit: MiddlewareHandler<BoardEnv> = async (c, next) => {
    const level = await this.#access.levelOf(c);
    if (level === "wrong-host" || level === "none") return this.#turnAway(c, level);
    c.set("view", this.#views[level]);
    return next();
  };

  /** Admits forms that come from our own page. */
  readonly ownForm: MiddlewareHandler<BoardEnv> = async (c, next) => {
    const { form_token } = await fieldsOf(c);
    if (c.var.view.isTrusted && (await this.#access.isOwnForm(c, form_token))) return next();
    return notDone(
      c,
      "This form is not from a page of this publisher, or the page is too old: load it again.",
      403,
    );
  };

  page(c: BoardContext): Response | Promise<Response> {
    const beforeId =
      c.req.query("each") === undefined ? idIn(c.req.query("before")) : Number.MAX_SAFE_INTEGER;
    const snapshot = this.#look(beforeId);
    if (snapshot instanceof Error)
      return c.html(messagePage("The queue's file cannot be read", snapshot.message, locationOf(c)), 503);
    const { view } = c.var;
    const { isTrusted } = view;
    // A page of single ones has a list of its own: the live list forgets what is not on it.
    const letters = beforeId === undefined ? view.letters : this.#newLetterList(isTrusted);
    const { queue: name, subscription, file } = this.#publisher;
    const queue = subscription === DEFAULT_SUBSCRIPTION ? name : `${name}, subscription ${subscription}`;
    const hasMore = snapshot.letters.length === DASHBOARD_DEAD_LETTERS;
    const page = dashboardPage({
      queue,
      file,
      location: locationOf(c),
      regions: regionsOf(snapshot, { isTrusted, letters, charts: this.#charts }),
      boot: this.#boot,
      atMs: snapshot.atMs,
      formToken: isTrusted ? this.#access.formToken : undefined,
      canSignOut: this.#access.tokens !== undefined,
      deadLetters: snapshot.status.state.deadLetters,
      olderThanId: hasMore ? snapshot.letters.at(-1)?.id : undefined,
      isSingle: beforeId !== undefined,
      said: saidIn(c),
    });
    return c.html(page);
  }

  /**
   * No `Transfer-Encoding` as Hono's streamSSE sends it: that is the server's to say, and HTTP/1.0, as nginx speaks it,
   * knows none. With `?once` the stream ends after one update, for a page whose proxy keeps streams back.
   */
  events(c: BoardContext): Response {
    if (c.req.raw.method === "HEAD") return c.body(null);
    if (!isSameOrigin(c)) return c.text("This is for the dashboard's own page.", 403); // or any site could take all streams
    const { feed } = c.var.view;
    if (c.req.query("once") !== undefined) return c.body(feed.once(), 200, STREAM_HEADERS);
    if (feed.isFull) return c.text("Too many dashboards are open.", 503, { "Retry-After": RETRY_AFTER_S });
    return c.body(feed.open(this.#access.admissionOf(c)), 200, STREAM_HEADERS);
  }

  async retry(c: Context): Promise<Response> {
    const selection = selectionIn(await fieldsOf(c));
    if (selection === undefined) return notDone(c, "The form names no dead letter.", 400);
    const { retried, isFull } = await this.#publisher.deadLetters.retry(selection);
    return backTo(c, `?retried=${retried}${isFull ? "&full=1" : ""}#dead`);
  }

  async purge(c: Context): Promise<Response> {
    const selection = selectionIn(await fieldsOf(c));
    if (selection === undefined) return notDone(c, "The form names no dead letter.", 400);
    return backTo(c, `?purged=${await this.#publisher.deadLetters.purge(selection)}#dead`);
  }

  async login(c: Context): Promise<Response> {
    const { tokens } = this.#access;
    if (tokens === undefined) return notDone(c, "This publisher has no token to sign in with.", 403);
    const { token } = await fieldsOf(c);
    const result = typeof token === "string" && isSameOrigin(c) ? await tokens.check(token, c) : "wrong";
    if (result === "right") {
      this.#access.signIn(c);
      return backTo(c);
    }
    if (result === "wrong") return this.#askForToken(c, 401, "This is not the publisher's token.");
    c.header("Retry-After", String(tokens.retryAfterS));
    return this.#askForToken(c, 429, `Too many wrong tokens. Try again in ${tokens.retryAfterS} seconds.`);
  }

  logout(c: Context): Response {
    this.#access.signOut(c);
    return backTo(c);
  }

  #turnAway(c: Context, level: Extract<AccessLevel, "wrong-host" | "none">): Response | Promise<Response> {
    if (level === "wrong-host") return c.html(messagePage("Wrong host name", WRONG_HOST, locationOf(c)), 403);
    c.header("WWW-Authenticate", "Bearer");
    return this.#askForToken(c, 401);
  }

  #askForToken(c: Context, status: 401 | 429, problem?: string): Response | Promise<Response> {
    return c.html(loginPage(this.#publisher.queue, locationOf(c), problem), status);
  }

  #newView(isTrusted: boolean): View {
    const letters = this.#newLetterList(isTrusted);
    const feed = new LiveFeed(() => this.#update({ isTrusted, letters }), this.#publisher.stopSignal);
    return { isTrusted, letters, feed };
  }

  #newLetterList(isTrusted: boolean): DeadLetterList {
    return new DeadLetterList(this.#publisher, isTrusted);
  }

  #look(beforeId?: number): Snapshot | Error {
    try {
      return this.#watch.snapshot(beforeId);
    } catch (error) {
      return error as Error;
    }
  }

  /** What live pages are sent. If the file cannot be read, only the health changes. */
  #update({ isTrusted, letters }: Omit<View, "feed">): Update {
    const snapshot = this.#look();
    const common = { boot: this.#boot, now: Date.now() };
    if (snapshot instanceof Error) {
      const health = html`<ul class="reasons bad"><li>The queue's file cannot be read: ${snapshot.message}</li></ul>`;
      return { ...common, regions: { health: String(health) } };
    }
    const regions = regionsOf(snapshot, { isTrusted, letters, charts: this.#charts });
    const texts = Object.entries(regions).map(([name, text]) => [name, `${text}`]);
    return { ...common, dead: snapshot.status.state.deadLetters, regions: Object.fromEntries(texts) };
  }
}

/** Where the page is from the request's point of view, when it is at `/queue` say, and its routes at `/queue/events`. */
function locationOf(c: Context): PageLocation {
  const isPage = c.req.method === "GET" && !c.req.path.endsWith("/events");
  const pagePath = isPage ? c.req.path : parentOf(c.req.path);
  const name = pagePath.slice(pagePath.lastIndexOf("/") + 1);
  const isRoot = name === "";
  if (isPage) return { home: `./${name}`, routes: isRoot ? "./" : `./${name}/`, needsSlash: isRoot };
  return { home: isRoot ? "./" : `../${name}`, routes: "./", needsSlash: false };
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function backTo(c: Context, rest: string = ""): Response {
  return c.redirect(locationOf(c).home + rest, 303);
}

function notDone(c: Context, text: string, status: 400 | 403): Response | Promise<Response> {
  return c.html(messagePage("Nothing was done", text, locationOf(c)), status);
}

type Fields = Readonly<Record<string, unknown>>;

/** The fields of a form; none if it is not a form. The request keeps them once they are read. */
async function fieldsOf(c: Context): Promise<Fields> {
  try {
    return await c.req.parseBody();
  } catch {
    return {};
  }
}

/** The dead letters that a form names: one, or all that had been rejected when its page was made, or those for one reason. */
function selectionIn({ all, like, seen, id }: Fields): DeadLetterSelection | undefined {
  const likeId = idIn(like);
  if (all === "yes" || likeId !== undefined) {
    const deadUntilMs = idIn(seen);
    if (deadUntilMs === undefined) return undefined;
    return { deadUntilMs, ...(likeId !== undefined && { likeId }) };
  }
  const one = idIn(id);
  return one === undefined ? undefined : { ids: [one] };
}

function idIn(text: unknown): number | undefined {
  return typeof text === "string" && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The result of the form that led here. */
function saidIn(c: Context): string | undefined {
  const retried = idIn(c.req.query("retried"));
  const purged = idIn(c.req.query("purged"));
  if (purged !== undefined) return `${plural(purged, "dead letter")} deleted.`;
  if (retried === undefined) return undefined;
  const full = c.req.query("full") === undefined ? "" : " The queue is full: retry the others later.";
  return `${plural(retried, "dead letter")} put back into the queue.${full}`;
}
