import { setTimeout as sleep } from "node:timers/promises";
import type { Children } from "./children.ts";
import { ClusterParts, type CollectorNode } from "./cluster_parts.ts";
import { type ClusterFigures, drawLine, drawTable, group, type Life } from "./cluster_table.ts";
import { Host } from "./host.ts";
import { LoadBalancer } from "./load_balancer.ts";
import { NatsCluster } from "./nats_cluster.ts";
import { Progress } from "./progress.ts";
import { RollupReader } from "./rollup_reader.ts";
import { inSeconds } from "./run_demo.ts";
import { Tally } from "./tally.ts";

const HOSTS = [
  ["host-1", "collectors"],
  ["host-2", "collectors"],
  ["host-3", "collectors"],
  ["host-4", "JetStream"],
  ["host-5", "JetStream"],
] as const;

const COLLECTORS = ["collector-1", "collector-2", "collector-3"];

/** What is killed when, by the share of events that are put. */
const COLLECTOR_AT = 0.15;
const LEADER_AT = 0.3;
const PUBLISHER_AT = 0.7;

const LOOK_MS = 50;

/** Options of a {@link ClusterDemo}. */
export interface ClusterDemoOptions {
  readonly directory: string;
  /** The program to start. */
  readonly natsServer: string;
  /** How many events are put, by all hosts together. */
  readonly events: number;
  /** The time in which they are put, if the machine can, in milliseconds. */
  readonly loadMs: number;
  /** How long publishers wait for a response, in milliseconds. */
  readonly timeoutMs: number;
  /** How much longer than that a lease lasts, in milliseconds. */
  readonly leaseMarginMs: number;
  /** How long the last events may take to arrive, in milliseconds. */
  readonly maxDrainMs: number;
}

/** One run: the story that it prints, and the counts. */
export class ClusterDemo implements Disposable {
  readonly #options: ClusterDemoOptions;
  readonly #children: Children;
  readonly #hosts: readonly Host[];
  readonly #dead = new Set<string>();
  readonly #startedAtMs = performance.now();
  readonly #progress: Progress;
  #collectors: readonly CollectorNode[] = [];
  #nats: NatsCluster | undefined;
  #rollup: RollupReader | undefined;
  #leader: string | undefined;
  #stored = 0;

  constructor(children: Children, options: ClusterDemoOptions) {
    this.#options = options;
    this.#children = children;
    this.#hosts = HOSTS.map(([name, way]) => new Host(name, way, options.directory));
    this.#progress = new Progress(
      () => drawTable(this.#figures()),
      () => (this.#put > 0 ? drawLine(this.#figures()) : ""),
    );
  }

  /** Rejects with what went wrong. */
  async run(): Promise<void> {
    const { directory, natsServer, events, loadMs, timeoutMs } = this.#options;
    this.#say("Three NATS servers keep one stream, each a replica. Three collectors store in it:");
    await using nats = await NatsCluster.start(this.#children, natsServer, directory);
    this.#nats = nats;
    for (const node of nats.nodes) this.#sayStarted(node);
    const parts = new ClusterParts(this.#children, { directory, servers: nats.addresses, timeoutMs });
    this.#collectors = await Promise.all(COLLECTORS.map((name) => parts.startCollector(name)));
    for (const node of this.#collectors) this.#sayStarted(node);
    await using balancer = await LoadBalancer.open(this.#collectors.map(({ address }) => address));
    this.#say(`  balancer     ${balancer.address}, in front of the collectors`);
    await Promise.all(this.#hosts.map((host) => parts.startPublisher(host, balancer.address)));
    await parts.startRollup();
    this.#rollup = new RollupReader(parts.rollupFile);

    this.#say(`\nFive hosts put ${group(events)} events in ${inSeconds(loadMs)}. Meanwhile:`);
    const share = { events: Math.floor(events / HOSTS.length), durationMs: loadMs };
    const rest = events - share.events * (HOSTS.length - 1);
    for (const [index, host] of this.#hosts.entries())
      parts.startService(host, index === 0 ? { ...share, events: rest } : share);
    void this.#followStream(nats);
    await this.#killThree(parts, balancer.address);
    await this.#drain();
    this.#progress.end();
    await this.#sumUp(nats);
    await this.#stop();
  }

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
    this.#rollup?.[Symbol.dispose]();
    for (const host of this.#hosts) host[Symbol.dispose]();
    this.#nats = undefined;
  }

  get #put(): number {
    return this.#hosts.reduce((sum, { put }) => sum + put, 0);
  }

  get #depth(): number {
    return this.#hosts.reduce((sum, { depth }) => sum + depth, 0);
  }

  async #killThree(parts: ClusterParts, collectors: string): Promise<void> {
    await this.#untilPut(COLLECTOR_AT);
    await this.#killCollector();
    await this.#untilPut(LEADER_AT);
    await this.#killLeader();
    await this.#untilPut(PUBLISHER_AT);
    await this.#replacePublisher(parts, collectors);
  }

  async #killCollector(): Promise<void> {
    const { name, child } = this.#collectors[1]!;
    await child.kill();
    this.#dead.add(name);
    this.#say(`  ${this.#clock()}  ${name} is killed (SIGKILL). Its publishers' requests go to the others.`);
  }

  async #killLeader(): Promise<void> {
    const leader = await this.#nats!.leader();
    const killedAtMs = performance.now();
    await leader.child.kill();
    this.#dead.add(leader.name);
    this.#say(
      `  ${this.#clock()}  ${leader.name}, which leads the stream, is killed (SIGKILL). Events wait in the hosts' queues.`,
    );
    const next = await this.#nats!.leader(leader);
    this.#say(
      `  ${this.#clock()}  ${next.name} leads the stream, ${inSeconds(performance.now() - killedAtMs)} later.`,
    );
  }

  async #replacePublisher(parts: ClusterParts, collectors: string): Promise<void> {
    const host = this.#hosts[0]!;
    while (host.depth === 0 && host.put < this.#options.events) await sleep(1);
    const depth = await host.killPublisher();
    this.#say(
      `  ${this.#clock()}  The publisher of ${host.name} is killed (SIGKILL) with ${group(depth)} events in its queue.`,
    );
    await parts.startPublisher(host, collectors);
    const { timeoutMs, leaseMarginMs } = this.#options;
    this.#say(
      `  ${this.#clock()}  A new one publishes. What the dead one had claimed comes when its leases run out, ${inSeconds(timeoutMs + leaseMarginMs)}.`,
    );
  }

  async #untilPut(share: number): Promise<void> {
    while (this.#put < share * this.#options.events) await sleep(LOOK_MS);
  }

  async #followStream(nats: NatsCluster): Promise<void> {
    while (this.#nats === nats) {
      const seen = await nats.look();
      this.#leader = seen?.leader;
      this.#stored = seen?.messages ?? this.#stored;
      await sleep(4 * LOOK_MS);
    }
  }

  async #drain(): Promise<void> {
    await this.#untilPut(1);
    this.#say(`  ${this.#clock()}  All events are put.`);
    const giveUpAtMs = performance.now() + this.#options.maxDrainMs;
    while (this.#depth > 0 || this.#stored < this.#put || this.#rollup!.total() < this.#stored) {
      if (performance.now() > giveUpAtMs)
        throw new Error(
          `After ${inSeconds(this.#options.maxDrainMs)} not all is where it belongs:\n${drawLine(this.#figures())}`,
        );
      await sleep(LOOK_MS);
    }
    this.#say(`  ${this.#clock()}  All queues are empty, and all events are counted.`);
  }

  async #sumUp(nats: NatsCluster): Promise<void> {
    const tally = new Tally(new Map(this.#hosts.map(({ name, put }) => [name, put])));
    let stored = 0;
    for await (const text of nats.read()) {
      tally.add(text);
      stored++;
    }
    const [put, counted] = [this.#put, this.#rollup!.total()];
    const rows = this.#rollup!.rows().map(
      ({ hour, action, noun, count }) => `    ${hour.slice(0, 13)}h  ${action} ${noun}  ${group(count)}`,
    );
    this.#say(`
  ${group(put)} events put by ${this.#hosts.length} hosts
  ${group(stored)} in the stream: ${tally.lost} lost, ${tally.twice} twice, told apart by their uuid
  ${group(counted)} counted by the rollup:
${rows.join("\n")}`);
    const isRight = tally.lost + tally.twice + tally.strange === 0 && put === stored && stored === counted;
    if (!isRight) throw new Error("What was put, what is in the stream and what was counted differ.");
    this.#say(`Put = stored = counted. It took ${inSeconds(performance.now() - this.#startedAtMs)}.`);
  }

  /** Stops the remaining programs with SIGTERM, and fails if one of them fails. The NATS servers are killed later. */
  async #stop(): Promise<void> {
    const isNats = (name: string): boolean => this.#nats!.nodes.some((node) => node.name === name);
    const left = this.#children.running.filter(({ name }) => !isNats(name));
    await Promise.all(left.map((child) => child.stop()));
  }

  #figures(): ClusterFigures {
    const life = ({ name }: { name: string }): { name: string; life: Life } => {
      const alive = name === this.#leader ? "leads" : "up";
      return { name, life: this.#dead.has(name) ? "dead" : alive };
    };
    return {
      time: this.#clock(),
      hosts: this.#hosts.map(({ name, way, put, depth, publisher }) => {
        return { name, way, put, depth, isPublishing: publisher !== undefined };
      }),
      servers: [...(this.#nats?.nodes ?? []), ...this.#collectors].map(life),
      put: this.#put,
      depth: this.#depth,
      stored: this.#stored,
      counted: this.#rollup?.total() ?? 0,
    };
  }

  #clock(): string {
    return inSeconds(performance.now() - this.#startedAtMs).padStart(6);
  }

  #sayStarted({ name, address, child }: CollectorNode): void {
    this.#say(`  ${name.padEnd(11)}  ${address}  (process ${child.pid})`);
  }

  #say(text: string): void {
    this.#progress.say(text);
  }
}
