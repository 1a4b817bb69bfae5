import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { networkFileSystemOf } from "../../../src/storage/file_system.ts";

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
