import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./project.ts";

/** The text of a file of deploy/. */
export function readDeployment(name: string): string {
  return readFileSync(join(ROOT, "deploy", name), "utf8");
}

/** An instruction of a Dockerfile: `COPY`, and what follows it. */
export interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** The instructions of a Dockerfile, with their continuation lines. */
export function readDockerfile(): Instruction[] {
  const text = readDeployment("docker/Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "");
  return [...text.matchAll(/^([A-Z]+) (.*)$/gm)].map(([, name, value]) => ({ name: name!, value: value! }));
}

/** The words of an instruction in exec form. */
export function words(value: string): string[] {
  return JSON.parse(value) as string[];
}

/** Seconds of `10s`. */
export function secondsOf(text: string): number {
  const [, seconds] = /^(\d+)s$/.exec(text) ?? [];
  if (seconds === undefined) throw new Error(`expected seconds such as 10s, got ${text}`);
  return Number(seconds);
}
