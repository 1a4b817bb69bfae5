/*
 * The floor: the same table, settings and statement in C. Compiled with the SQLite that better-sqlite3
 * brings, from its sources. Arguments: the task's JSON, and schema.sql.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "sqlite3.h"

static sqlite3 *db;

static void check(int rc) {
  if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    exit(1);
  }
}

static void run(const char *sql) { check(sqlite3_exec(db, sql, 0, 0, 0)); }

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static long number(const char *json, const char *key) {
  const char *at = strstr(json, key);
  return at ? atol(at + strlen(key)) : 0;
}

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) exit(1);
  char *text = calloc(1, 1 << 20);
  fread(text, 1, (1 << 20) - 1, file);
  fclose(file);
  return text;
}

static void insert(sqlite3_stmt *statement, const char *body, int bytes) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  sqlite3_bind_int64(statement, 1, t.tv_sec * 1000LL + t.tv_nsec / 1000000);
  sqlite3_bind_blob(statement, 2, body, bytes, SQLITE_STATIC);
  check(sqlite3_step(statement));
  sqlite3_reset(statement);
}

static void put(sqlite3_stmt *statement, const char *json, const char *body, long events) {
  long bytes = number(json, "\"eventBytes\":"), width = number(json, "\"width\":");
  int many = strstr(json, "\"mode\":\"many\"") != 0;
  for (long put = 0; put < events; put++) {
    if (many && put % width == 0) run("BEGIN IMMEDIATE");
    insert(statement, body, (int)bytes);
    if (many && (put % width == width - 1 || put == events - 1)) run("COMMIT");
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *json = argv[1];
  char directory[4096] = {0}, path[4200], *body = calloc(1, 1 << 20);
  const char *at = strstr(json, "\"directory\":\"") + strlen("\"directory\":\"");
  strncpy(directory, at, strcspn(at, "\""));
  strcat(directory, "/put-XXXXXX");
  if (!mkdtemp(directory)) return 1;
  snprintf(path, sizeof path, "%s/bare.db", directory);
  check(sqlite3_open(path, &db));
  run("PRAGMA journal_mode = WAL");
  run(read_file(argv[2]));
  run(strstr(json, "\"FULL\"") ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  run("PRAGMA wal_autocheckpoint = 16000");
  memset(body, 'x', 1 << 19);
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v2(db, "INSERT INTO eventspool_event (put_at_ms, body) VALUES (?, ?)", -1, &statement, 0));
  long events = number(json, "\"events\":");
  put(statement, json, body, events / 10 + 1);
  double started_at_ms = now_ms();
  put(statement, json, body, events);
  printf("{\"perS\":%.1f}\n", events / (now_ms() - started_at_ms) * 1e3);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  unlink(path);
  rmdir(directory);
  return 0;
}
