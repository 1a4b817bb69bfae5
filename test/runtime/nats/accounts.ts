import { createHash } from "node:crypto";
import { nkeys } from "@nats-io/transport-node";

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** A server configuration for users with credentials files, and the text of one such file. */
export interface NatsAccounts {
  readonly config: string;
  readonly credentials: string;
}

/**
 * An operator, an account with JetStream and a user of it, as `nsc` would make them.
 *
 * Source of the claims: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
 */
export function makeAccounts(): NatsAccounts {
  const [operator, user] = [nkeys.createOperator(), nkeys.createUser()];
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()];
  const any = { subs: -1, data: -1, payload: -1 };
  const limits = { ...any, imports: -1, exports: -1, conn: -1, leaf: -1 };
  const operatorJwt = sign(operator, operator, { type: "operator", version: 2 });
  const accountJwt = sign(operator, account, {
    type: "account",
    version: 2,
    limits: { ...limits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
  });
  const systemJwt = sign(operator, system, { type: "account", version: 2, limits });
  const userJwt = sign(account, user, { type: "user", version: 2, pub: {}, sub: {}, ...any });
  return {
    config: [
      `operator: ${operatorJwt}`,
      `system_account: ${system.getPublicKey()}`,
      "resolver: MEMORY",
      `resolver_preload: { ${account.getPublicKey()}: ${accountJwt}, ${system.getPublicKey()}: ${systemJwt} }`,
    ].join("\n"),
    credentials: [
      "-----BEGIN NATS USER JWT-----",
      userJwt,
      "------END NATS USER JWT------",
      "",
      "-----BEGIN USER NKEY SEED-----",
      new TextDecoder().decode(user.getSeed()),
      "------END USER NKEY SEED------",
      "",
    ].join("\n"),
  };
}

function sign(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const claims = {
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: "test",
    nats,
  };
  const jti = createHash("sha256").update(JSON.stringify(claims)).digest("hex");
  const parts = [
    { typ: "JWT", alg: "ed25519-nkey" },
    { jti, ...claims },
  ];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}
