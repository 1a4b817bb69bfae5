/**
 * The dashboard: one page that shows how a publisher is, live, and lets dead letters be retried or purged.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import { streamSSE } from "hono/streaming";
import { DASHBOARD_DEAD_LETTERS, MAX_FORM_BYTES } from "../../limits.ts";
import type { DeadLetterChoice } from "../../publisher/dead_letters.ts";
import { Access, type AccessOptions, isSameOrigin } from "./access.ts";
import { Charts } from "./charts.ts";
import { LetterList } from "./dead_letters.ts";
import { plural } from "./figures.ts";
import { LiveFeed, type Update } from "./live.ts";
import { html } from "./markup.ts";
import { dashboardPage, loginPage, messagePage, type Place, SCRIPT_HASH, STYLE_HASH } from "./page.ts";
import { regionsOf } from "./regions.ts";
import { type Snapshot, Watch, type WatchedPublisher } from "./snapshot.ts";

/** Options of {@link dashboard}. */
export type DashboardOptions = Omit<AccessOptions, "queue">;

/** How soon one that finds too many live pages may try again, in seconds. */
const RETRY_AFTER_S = "10";

/** Nothing but this very page: no script, style or frame of anybody else's, whatever an event holds. */
const headers: MiddlewareHandler = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: [SCRIPT_HASH],
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
export function dashboard(publisher: WatchedPublisher, options: DashboardOptions): Hono {
  const board = new Board(publisher, new Access({ ...options, queue: publisher.queue }));
  const app = new Hono();
  const form = [headers, bodyLimit({ maxSize: MAX_FORM_BYTES })] as const;
  app.get("/", headers, board.admit, (c) => board.page(c));
  app.get("/events", headers, board.admit, (c) => board.events(c));
  app.post("/retry", ...form, board.admit, board.ownForm, (c) => board.retry(c));
  app.post("/purge", ...form, board.admit, board.ownForm, (c) => board.purge(c));
  app.post("/logout", ...form, board.admit, board.ownForm, (c) => board.logout(c));
  app.post("/login", ...form, (c) => board.login(c));
  return app;
}

/** Answers the requests. */
class Board {
  readonly #publisher: WatchedPublisher;
  readonly #access: Access;
  readonly #watch: Watch;
  readonly #letters: LetterList;
  readonly #charts = new Charts();
  readonly #feed: LiveFeed;
  readonly #boot = randomUUID();

  constructor(publisher: WatchedPublisher, access: Access) {
    this.#publisher = publisher;
    this.#access = access;
    this.#watch = new Watch(publisher);
    this.#letters = this.#newLetterList();
    this.#feed = new LiveFeed(() => this.#update(), publisher.stopSignal);
  }

  /** Lets those go on who may see the page. */
  readonly admit: MiddlewareHandler = async (c, next) => {
    if (!this.#access.isRightHost(c)) return wrongHost(c);
    if (await this.#access.isAdmitted(c)) return next();
    return c.html(loginPage(this.#publisher.queue, placeOf(c)), 401, { "WWW-Authenticate": "Bearer" });
  };

  /** Lets forms go on that come from our own page, where there are any. */
  readonly ownForm: MiddlewareHandler = async (c, next) => {
    const { form_token } = await fieldsOf(c);
    if (this.#access.isTrusted && (await this.#access.isOwnForm(c, form_token))) return next();
    const text =
      "This was not asked by a page of this publisher, or by an old one. Load the dashboard again.";
    return c.html(messagePage("Not done", text, placeOf(c)), 403);
  };

  page(c: Context): Response | Promise<Response> {
    const beforeId = idIn(c.req.query("before"));
    const snapshot = this.#look(beforeId);
    if (snapshot instanceof Error)
      return c.html(messagePage("The queue's file cannot be read", snapshot.message, placeOf(c)), 503);
    // A page of older ones has a list of its own: the list of the newest forgets what is not on it.
    const letters = beforeId === undefined ? this.#letters : this.#newLetterList();
    const { queue, file } = this.#publisher;
    const { kind, isTrusted, formToken } = this.#access;
    const hasMore = snapshot.letters.length === DASHBOARD_DEAD_LETTERS;
    const page = dashboardPage({
      queue,
      file,
      place: placeOf(c),
      regions: regionsOf(snapshot, { letters, charts: this.#charts }),
      boot: this.#boot,
      atMs: snapshot.atMs,
      formToken: isTrusted ? formToken : undefined,
      canSignOut: kind === "token",
      deadLetters: snapshot.status.state.deadLetters,
      olderThanId: hasMore ? snapshot.letters.at(-1)?.id : undefined,
      isOlder: beforeId !== undefined,
      said: saidIn(c),
    });
    return c.html(page);
  }

  events(c: Context): Response {
    if (c.req.raw.method === "HEAD") return c.body(null);
    if (!isSameOrigin(c)) return c.text("This is for the dashboard's own page.", 403); // or any site could take all streams
    if (this.#feed.isFull)
      return c.text("Too many dashboards are open.", 503, { "Retry-After": RETRY_AFTER_S });
    return streamSSE(c, (stream) => this.#feed.send(stream));
  }

  async retry(c: Context): Promise<Response> {
    const choice = choiceIn(await fieldsOf(c));
    if (choice === undefined) return nothingChosen(c);
    const { retried, isFull } = await this.#publisher.deadLetters.retry(choice);
    return backTo(c, `?retried=${retried}${isFull ? "&full=1" : ""}#dead`);
  }

  async purge(c: Context): Promise<Response> {
    const choice = choiceIn(await fieldsOf(c));
    if (choice === undefined) return nothingChosen(c);
    return backTo(c, `?purged=${await this.#publisher.deadLetters.purge(choice)}#dead`);
  }

  async login(c: Context): Promise<Response> {
    if (this.#access.kind !== "token") return backTo(c);
    const { token } = await fieldsOf(c);
    const isRight = typeof token === "string" && (await this.#access.isToken(token));
    if (!isRight || !isSameOrigin(c)) {
      const problem = "This is not the publisher's token.";
      return c.html(loginPage(this.#publisher.queue, placeOf(c), problem), 401);
    }
    await this.#access.signIn(c, parentOf(c.req.path) || "/");
    return backTo(c);
  }

  logout(c: Context): Response {
    this.#access.signOut(c, parentOf(c.req.path) || "/");
    return backTo(c);
  }

  #newLetterList(): LetterList {
    return new LetterList((id) => this.#publisher.deadLetters.get(id), this.#access.isTrusted);
  }

  #look(beforeId?: number): Snapshot | Error {
    try {
      return this.#watch.snapshot(beforeId);
    } catch (error) {
      return error as Error;
    }
  }

  /** What live pages are told. A file that cannot be read changes nothing but what is said of it. */
  #update(): Update {
    const snapshot = this.#look();
    const common = { boot: this.#boot, now: Date.now() };
    if (snapshot instanceof Error) {
      const health = html`<ul class="reasons bad"><li>The queue's file cannot be read: ${snapshot.message}</li></ul>`;
      return { ...common, regions: { health: String(health) } };
    }
    const regions = Object.entries(regionsOf(snapshot, { letters: this.#letters, charts: this.#charts })).map(
      ([name, text]) => [name, `${text}`],
    );
    return { ...common, dead: snapshot.status.state.deadLetters, regions: Object.fromEntries(regions) };
  }
}

/** Where the page is from the request's point of view, when it is at `/queue` say, and its routes at `/queue/events`. */
function placeOf(c: Context): Place {
  const isPage = c.req.method === "GET" && !c.req.path.endsWith("/events");
  const pagePath = isPage ? c.req.path : parentOf(c.req.path);
  const name = pagePath.slice(pagePath.lastIndexOf("/") + 1);
  if (isPage) return { home: `./${name}`, routes: name === "" ? "./" : `./${name}/` };
  return { home: name === "" ? "./" : `../${name}`, routes: "./" };
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function backTo(c: Context, rest: string = ""): Response {
  return c.redirect(placeOf(c).home + rest, 303);
}

function wrongHost(c: Context): Response | Promise<Response> {
  const text =
    "Without a token this page is for this machine only: ask for it as localhost or 127.0.0.1 and through no proxy, or set admin.token.";
  return c.html(messagePage("Not under this name", text, placeOf(c)), 403);
}

function nothingChosen(c: Context): Response | Promise<Response> {
  return c.html(messagePage("Not done", "No dead letter was named.", placeOf(c)), 400);
}

type Fields = Readonly<Record<string, unknown>>;

/** The fields of a form; none where it is no form. Read once, and kept by the request. */
async function fieldsOf(c: Context): Promise<Fields> {
  try {
    return await c.req.parseBody();
  } catch {
    return {};
  }
}

/** The dead letters that a form names: all that had died when its page was made, or one. */
function choiceIn({ all, seen, id }: Fields): DeadLetterChoice | undefined {
  if (all === "yes") {
    const diedByMs = idIn(seen);
    return diedByMs === undefined ? undefined : { diedByMs };
  }
  const one = idIn(id);
  return one === undefined ? undefined : { ids: [one] };
}

function idIn(text: unknown): number | undefined {
  return typeof text === "string" && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** What became of the form that led here. */
function saidIn(c: Context): string | undefined {
  const retried = idIn(c.req.query("retried"));
  const purged = idIn(c.req.query("purged"));
  if (purged !== undefined) return `${plural(purged, "dead letter")} deleted for good.`;
  if (retried === undefined) return undefined;
  const full = c.req.query("full") === undefined ? "" : " The queue is full: try the others later.";
  return `${plural(retried, "dead letter")} put back into the queue.${full}`;
}
