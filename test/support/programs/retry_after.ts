/** Prints the minutes of the time zone west of UTC, and how long a Retry-After asks to wait: `retry_after.ts HEADER NOW_MS`. */
import process from "node:process";
import { parseRetryAfter } from "../../../src/wire/retry_after.ts";

const [header, nowMs] = process.argv.slice(2);
console.log(new Date(Number(nowMs)).getTimezoneOffset(), parseRetryAfter(header!, Number(nowMs)));
