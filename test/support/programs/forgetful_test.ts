/** Opens test queues and closes one of them; with the argument "killed" it ends without an exit event. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { TestEventQueue } from "../../../src/testing/mod.ts";

const forgotten = new TestEventQueue("main", serializeJsonEvent);
new TestEventQueue("main", serializeJsonEvent).close();
forgotten.put({});
const directory = dirname(forgotten.file);
if (existsSync(directory)) console.log(`directory ${directory}`);
if (process.argv[2] === "killed") process.kill(process.pid, "SIGKILL");
