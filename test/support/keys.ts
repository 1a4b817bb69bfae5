import { Buffer } from "node:buffer";

/** The key that the publishers and collectors of the tests share. */
export const KEY: { readonly name: string; readonly secret: Buffer } = {
  name: "tests",
  secret: Buffer.from("correct horse battery staple"),
};

/** It as configuration files hold it. */
export const KEY_BASE64: string = KEY.secret.toString("base64");
