/** Opens test queues and closes one of them. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { serializeJsonEvent } from "../../../src/serializers/json.ts";
import { TestEventQueue } from "../../../src/testing/mod.ts";

const forgotten = new TestEventQueue("main", serializeJsonEvent);
new TestEventQueue("main", serializeJsonEvent).close();
forgotten.put({});
const directory = dirname(forgotten.file);
if (existsSync(directory)) console.log(`directory ${directory}`);
