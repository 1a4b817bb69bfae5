#!/usr/bin/env node
/** `eventspool VERB`, or `bun run queue VERB` in a clone. */
import { rejectOldRuntime } from "../runtime.ts";

rejectOldRuntime("eventspool");
const { eventspool } = await import("./eventspool.ts"); // only now, since an old runtime may fail to load it
await eventspool();
