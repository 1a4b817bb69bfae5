import { writeFileSync } from "node:fs";
import { KEY, KEY_BASE64 } from "./keys.ts";

/** Settings of a section, by their keys. */
export type Settings = Readonly<Record<string, string | number>>;

/** What every publisher of the tests is configured with, besides the address of its collector: it waits for little. */
export const PUBLISHER: Settings = {
  "collector.scheme": "http",
  "collector.version": "2j",
  "collector.timeout": "60s", // on a busy machine: a request that is sent again would be one too many
  "key.name": KEY.name,
  "key.secret": KEY_BASE64,
  "batch.max_age": "20ms",
};

/** A section of an INI file. */
export function iniOf(section: string, settings: Settings): string {
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  return `[${section}]\n${lines.join("")}`;
}

/** Writes an INI file that only this user may read. Returns its path. */
export function writeIni(path: string, section: string, settings: Settings): string {
  writeFileSync(path, iniOf(section, settings), { mode: 0o600 });
  return path;
}
