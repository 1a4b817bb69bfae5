#!/usr/bin/env node
/** `eventspool-collector`, or `bun run collector` in a clone: the same as `eventspool collector`. */
import { rejectOldRuntime } from "../runtime.ts";

rejectOldRuntime("eventspool-collector");
const { runCollector } = await import("./services.ts"); // only now, since an old runtime may fail to load it
await runCollector();
