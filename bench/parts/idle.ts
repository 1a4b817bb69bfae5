/** The publisher with little to do: start, wake-up, few events. */
import { race, type Table } from "../measure.ts";
import { program, type Settings } from "../settings.ts";

/** The tables of `idle`. */
export async function idle({ scale, directory }: Settings): Promise<Table[]> {
  const wake = { directory, events: Math.ceil(100 * scale) };
  const trickle = (perSecond: number) => ({ directory, perSecond, durationMs: 20_000 * scale });
  const command = (file: string, task: object) => program(file, JSON.stringify(task));
  return [
    {
      title: "An idle publisher",
      note: "Start: until the first line of the log. Wake-up: from a put into an idle queue to its claim. CPU: of one core while nothing happens.",
      columns: [
        { figure: "startMs", title: "start ms" },
        { figure: "p50Ms", title: "wake-up p50 ms", digits: 2 },
        { figure: "worstMs", title: "wake-up worst ms", digits: 2 },
        { figure: "idlePercent", title: "idle CPU %", digits: 2 },
      ],
      results: await race(
        [{ name: "**eventspool publisher**", durability: "NORMAL", command: command("wake.ts", wake) }],
        3,
      ),
    },
    {
      title: "A trickle of events",
      note: "Events at random moments, default settings: the time from put to the collector, and the number of requests.",
      columns: [
        { figure: "p50Ms", title: "p50 ms", digits: 1 },
        { figure: "p99Ms", title: "p99 ms", digits: 1 },
        { figure: "requestsPerS", title: "requests/s", digits: 1 },
      ],
      results: await race(
        [1, 20, 1_000].map((perSecond) => ({
          name: `${perSecond} events/s`,
          durability: "NORMAL",
          command: command("linger.ts", trickle(perSecond)),
        })),
        1,
      ),
    },
  ];
}
