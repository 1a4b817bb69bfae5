import assert from "node:assert/strict";
import {
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Ballast } from "../../../src/storage/ballast.ts";
import { noSmallDisks, SmallDisk } from "../../support/small_disk.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const MIB = 1_048_576;

test("takes its space on the disk, for its owner only, and gives it up once", async () => {
  using directory = temporaryDirectory();
  const ballast = new Ballast(join(directory.path, "events-main.db"), 2 * MIB + 5);
  await Promise.all([ballast.make(), ballast.make()]);
  await ballast.make();

  const { size, blocks, mode } = statSync(ballast.path);
  assert.equal(size, 2 * MIB + 5);
  assert.ok(blocks * 512 >= size, "no hole");
  assert.equal(mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory.path), ["events-main.db-ballast"]);

  assert.equal(ballast.release(), true);
  assert.equal(ballast.release(), false);
  assert.deepEqual(readdirSync(directory.path), []);
});

test("is not made when it is not wanted", async () => {
  using directory = temporaryDirectory();
  await new Ballast(join(directory.path, "events-main.db"), 0).make();
  assert.deepEqual(readdirSync(directory.path), []);
});

test("takes no more than an eighth of what is free, and grows when there is more", {
  skip: noSmallDisks,
}, async () => {
  using disk = new SmallDisk(16);
  const ballast = new Ballast(join(disk.path, "events-main.db"), 16 * MIB);
  disk.fill();
  await ballast.make();
  assert.deepEqual(readdirSync(disk.path), ["filler"]);

  disk.free();
  const small = new Ballast(join(disk.path, "events-main.db"), 100_000);
  await small.make();
  assert.equal(statSync(ballast.path).size, 100_000);
  await ballast.make();
  const { size } = statSync(ballast.path);
  assert.ok(size > 1.9 * MIB && size <= 2 * MIB, `${size} bytes`);
});

test("follows no symlink that somebody has put in its place, and overwrites nothing", async () => {
  using directory = temporaryDirectory();
  const queuePath = join(directory.path, "events-main.db");
  const precious = join(directory.path, "precious");
  writeFileSync(precious, "x".repeat(3 * MIB));
  const ballast = new Ballast(queuePath, 1 * MIB);
  for (const name of [ballast.path, `${ballast.path}-${process.pid}`]) symlinkSync(precious, name);
  assert.equal(ballast.release(), false, "it would free nothing");

  await ballast.make();
  assert.equal(readFileSync(precious, "latin1"), "x".repeat(3 * MIB));
  assert.equal(lstatSync(ballast.path).isFile(), true);
  assert.equal(statSync(ballast.path).size, 1 * MIB);
});

test("removes what a killed process has left of a ballast, and nothing else", async () => {
  using directory = temporaryDirectory();
  const ballast = new Ballast(join(directory.path, "events-main.db"), 1 * MIB);
  const uuid = crypto.randomUUID();
  const left = `${ballast.path}-tmp-${uuid}`;
  const others = [`${ballast.path}-tmp-backup`, `${ballast.path}-${uuid}`, `${ballast.path}-tmp-${uuid}.txt`];
  for (const path of [left, ...others]) {
    writeFileSync(path, "half");
    utimesSync(path, 1, 1);
  }
  const fresh = `${ballast.path}-tmp-${crypto.randomUUID()}`;
  writeFileSync(fresh, "another publisher is at it");
  await ballast.make();
  const names = readdirSync(directory.path).map((name) => join(directory.path, name));
  assert.deepEqual(names.includes(left), false);
  for (const path of [...others, fresh, ballast.path]) assert.ok(names.includes(path), path);
});
