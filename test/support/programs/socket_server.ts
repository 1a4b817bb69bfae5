import process from "node:process";
import { serveApp } from "../../../src/server/serve.ts";

const served = await serveApp({ fetch: () => new Response("hello") }, { path: process.argv[2]! });
console.log(served.address);
