import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { networkFileSystemOf } from "../../../src/storage/disk_space.ts";
import { exposuresOf } from "../../../src/storage/locations.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MAGIC = "/usr/include/linux/magic.h";

test("knows the file systems over a network by their types, also where a type has a sign", () => {
  const types: Readonly<Record<number, string>> = {
    26985: "NFS",
    4283649346: "CIFS",
    4266872130: "SMB2",
    1702057286: "FUSE",
    16914839: "9p",
    12805120: "Ceph",
    1397113167: "AFS",
  };
  for (const [type, name] of Object.entries(types)) {
    assert.equal(networkFileSystemOf("/", Number(type)), name);
    assert.equal(networkFileSystemOf("/", Number(type) | 0), name);
  }
  for (const local of [0xef53, 0x01021994, 0x794c7630, 0x9123683e, 0x58465342]) // ext4, tmpfs, overlay, btrfs, xfs
    assert.equal(networkFileSystemOf("/", local), undefined);
  assert.equal(networkFileSystemOf("/no/such/directory"), undefined);
});

test("has the numbers of Linux's own header", { skip: !existsSync(MAGIC) && `no ${MAGIC} here` }, () => {
  const header = readFileSync(MAGIC, "utf8");
  for (const name of ["NFS", "SMB", "CIFS", "SMB2", "FUSE", "V9FS", "CEPH", "AFS", "CODA", "NCP"]) {
    const value = new RegExp(`#define\\s+${name}(?:_SUPER)?_MAGIC(?:_NUMBER)?\\s+(0x[\\da-fA-F]+)`).exec(
      header,
    )?.[1];
    if (value !== undefined) assert.ok(networkFileSystemOf("/", Number(value)), `${name} ${value}`);
  }
});

test("finds out who else may change a queue, by modes and owners", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "", { mode: 0o600 });
  assert.deepEqual(exposuresOf(path), []);
  assert.deepEqual(exposuresOf(join(directory.path, "gone", "events-main.db")), []);
  chmodSync(directory.path, 0o1777);
  chmodSync(path, 0o666);
  const problems = exposuresOf(path).map(({ problem }) => problem);
  assert.match(problems[0]!, /everyone may put files into .*mode 1777/);
  assert.match(problems[1]!, /everyone may read or write .*events-main\.db \(mode 0666\)/);
});

const cannotChange =
  process.getuid?.() !== 0 || process.seteuid === undefined || process.setuid === undefined;

test("warns of a file of another user", { skip: cannotChange && "only root can give files away" }, () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "events-main.db");
  writeFileSync(path, "", { mode: 0o600 });
  chownSync(path, 1_234, 1_234);
  const { getuid } = process;
  process.getuid = () => 4_321; // a process that gave up being root could not clean up
  try {
    assert.deepEqual(
      exposuresOf(path).map(({ problem }) => problem),
      [`${path} belongs to another user (1234)`],
    );
  } finally {
    if (getuid) process.getuid = getuid;
  }
});
