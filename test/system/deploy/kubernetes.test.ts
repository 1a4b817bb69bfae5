import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { parsePublisherConfig } from "../../../src/config/publisher_config.ts";
import { readDeployment } from "../../support/deployment.ts";
import { KEY_BASE64 } from "../../support/keys.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: { readonly runAsNonRoot: boolean };
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}

const [, configMap, deployment] = parseAllDocuments(readDeployment("kubernetes/deployment.yaml")).map(
  (document) => document.toJS({ maxAliasCount: 10 }),
);
const pod = deployment.spec.template.spec as Pod;
const containers = [...pod.initContainers, ...pod.containers];
const publisher = pod.initContainers[0]!;
const service = pod.containers[0]!;

/** The publisher's configuration, with its secrets where a test can have them. */
function readConfig(): ReturnType<typeof parsePublisherConfig> {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "key"), KEY_BASE64);
  writeFileSync(
    join(directory.path, "token"),
    "a token of their own, of any length".replaceAll(/[ ,]/g, "-"),
  );
  const text = (configMap.data["publisher.ini"] as string).replaceAll(
    "/etc/eventspool-secret",
    directory.path,
  );
  return parsePublisherConfig(text, { env: {} });
}

test("has a pod whose containers mount volumes that there are, and share the queue's", () => {
  const volumes = pod.volumes.map(({ name }) => name);
  for (const { name, volumeMounts } of containers)
    for (const mount of volumeMounts) assert.ok(volumes.includes(mount.name), `${name}: ${mount.name}`);
  const directories = containers.map((c) => c.volumeMounts.find(({ name }) => name === "queue")!.mountPath);
  assert.equal(new Set(directories).size, 1);
});

test("has a pod whose probes ask where the publisher listens, and need no token", () => {
  const { admin, warnings } = readConfig();
  assert.deepEqual(warnings, []);
  assert.deepEqual(admin.listen, { host: "0.0.0.0", port: publisher.ports[0]!.containerPort });
  assert.equal(publisher.livenessProbe!.httpGet.path, "/livez");
  assert.equal(publisher.readinessProbe!.httpGet.path, "/readyz");
  for (const { ports, livenessProbe, readinessProbe } of containers)
    for (const probe of [livenessProbe, readinessProbe])
      if (probe) assert.ok(ports.some(({ name }) => name === probe.httpGet.port));
});

test("has a pod that gives service and publisher the time they take to stop", () => {
  assert.equal(publisher.restartPolicy, "Always", "a sidecar");
  const [, drainMs] = /^const DRAIN_MS = ([\d_]+);$/m.exec(readDeployment("docker/service.ts"))!;
  const drainSeconds = Number(drainMs!.replaceAll("_", "")) / 1_000;
  const { seconds } = service.lifecycle!.preStop.sleep;
  assert.ok(pod.terminationGracePeriodSeconds > seconds + drainSeconds + readConfig().graceMs / 1_000);
});

test("has a pod without rights", () => {
  assert.ok(pod.securityContext.runAsNonRoot);
  assert.ok(containers.every(({ securityContext }) => securityContext.readOnlyRootFilesystem));
});
