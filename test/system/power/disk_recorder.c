/*
 * Records what a process does to the files below $DISK_ROOT, for disk_record.ts: preloaded with LD_PRELOAD.
 *
 * One lock, shared by all processes, is held while an operation is done and recorded, so the record has the order in
 * which the kernel saw them. A sync is recorded when it begins and when it has ended: it may only cover what was
 * written before it began. Making, renaming, linking and removing a name is recorded, too.
 *
 * A record: type u8, file u64 (inode), offset u64, time in microseconds u64, length u32, then `length` bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAX_FILES 65536

static char root[PATH_MAX];
static size_t root_length;
static int record = -1;
static pthread_mutex_t *mutex;
static unsigned char tracked[MAX_FILES];

/* The record and its lock are made by the first process of a run; $DISK_ROOT.lock is whole before it has its name. */
__attribute__((constructor)) static void begin(void) {
  const char *directory = getenv("DISK_ROOT");
  if (directory == NULL) return;
  char path[PATH_MAX + 16];
  snprintf(root, sizeof root, "%s/", directory);
  snprintf(path, sizeof path, "%s.lock", directory);
  int lock = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  fcntl(lock, F_SETLKW, &whole);
  struct stat entry;
  fstat(lock, &entry);
  int is_new = entry.st_size == 0;
  if (is_new) syscall(SYS_ftruncate, lock, 4096);
  mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, lock, 0);
  if (is_new) {
    pthread_mutexattr_t shared;
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &shared);
  }
  whole.l_type = F_UNLCK;
  fcntl(lock, F_SETLK, &whole);
  snprintf(path, sizeof path, "%s.record", directory);
  record = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  root_length = strlen(root);
}

static void lock_record(void) {
  if (pthread_mutex_lock(mutex) == EOWNERDEAD) pthread_mutex_consistent(mutex);
}

static void unlock_record(void) { pthread_mutex_unlock(mutex); }

static void note(char type, uint64_t file, uint64_t offset, const struct iovec *data, int count) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t time_us = now.tv_sec * 1000000ull + now.tv_nsec / 1000;
  uint32_t length = 0;
  for (int i = 0; i < count; i++) length += data[i].iov_len;
  unsigned char head[29];
  head[0] = type;
  memcpy(head + 1, &file, 8);
  memcpy(head + 9, &offset, 8);
  memcpy(head + 17, &time_us, 8);
  memcpy(head + 25, &length, 4);
  struct iovec parts[count + 1];
  parts[0] = (struct iovec){head, sizeof head};
  memcpy(parts + 1, data, count * sizeof *data);
  if (syscall(SYS_writev, record, parts, count + 1) != (long)(sizeof head + length)) abort();
}

static void note_text(char type, uint64_t file, const char *text) {
  struct iovec data = {(void *)text, strlen(text)};
  note(type, file, 0, &data, 1);
}

static int is_tracked(int fd) { return record >= 0 && fd >= 0 && fd < MAX_FILES && tracked[fd]; }

static uint64_t file_of(int fd) {
  struct stat entry;
  return fstat(fd, &entry) == 0 ? entry.st_ino : 0;
}

/* The path below the root, absolute; NULL: it is elsewhere. */
static const char *below_root(int directory, const char *path, char *buffer) {
  if (record < 0 || path == NULL) return NULL;
  if (path[0] != '/') {
    char base[PATH_MAX], link[64];
    if (directory == AT_FDCWD) {
      if (getcwd(base, sizeof base) == NULL) return NULL;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
      ssize_t length = readlink(link, base, sizeof base - 1);
      if (length < 0) return NULL;
      base[length] = 0;
    }
    snprintf(buffer, PATH_MAX, "%.2000s/%.2000s", base, path);
    path = buffer;
  }
  if (strncmp(path, root, root_length) == 0) return path + root_length;
  if (strncmp(path, root, root_length - 1) == 0 && path[root_length - 1] == 0) return "";
  return NULL;
}

static int open_file(int directory, const char *path, int flags, mode_t mode) {
  char buffer[PATH_MAX];
  const char *name = below_root(directory, path, buffer);
  if (name == NULL) return syscall(SYS_openat, directory, path, flags, mode);
  lock_record();
  struct stat entry;
  int is_new = (flags & O_CREAT) && fstatat(directory, path, &entry, 0) != 0;
  int fd = syscall(SYS_openat, directory, path, flags, mode);
  int failure = errno;
  if (fd >= 0 && fd < MAX_FILES) {
    tracked[fd] = 1;
    if (is_new) note_text('C', file_of(fd), name);
    else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) note('T', file_of(fd), 0, NULL, 0);
    if (flags & O_DIRECTORY || (fstat(fd, &entry) == 0 && S_ISDIR(entry.st_mode))) note_text('D', file_of(fd), name);
  }
  unlock_record();
  errno = failure;
  return fd;
}

#define MODE_OF(flags, last)                         \
  mode_t mode = 0;                                   \
  if ((flags) & (O_CREAT | O_TMPFILE)) {             \
    va_list arguments;                               \
    va_start(arguments, last);                       \
    mode = va_arg(arguments, mode_t);                \
    va_end(arguments);                               \
  }

EXPORT int open(const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_file(AT_FDCWD, path, flags, mode);
}
EXPORT int open64(const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
EXPORT int openat(int directory, const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_file(directory, path, flags, mode);
}
EXPORT int openat64(int directory, const char *path, int flags, ...) {
  MODE_OF(flags, flags)
  return open_file(directory, path, flags | O_LARGEFILE, mode);
}

EXPORT int close(int fd) {
  if (fd >= 0 && fd < MAX_FILES) tracked[fd] = 0;
  return syscall(SYS_close, fd);
}

/* A vector cut to what was written. */
static int cut(const struct iovec *from, int count, size_t length, struct iovec *to) {
  int used = 0;
  for (int i = 0; i < count && length > 0; i++) {
    size_t part = from[i].iov_len < length ? from[i].iov_len : length;
    to[used++] = (struct iovec){from[i].iov_base, part};
    length -= part;
  }
  return used;
}

/* `offset` -1: at the file's position, or at its end. */
static ssize_t write_file(int fd, const struct iovec *data, int count, off_t offset) {
  int is_positioned = offset >= 0;
  lock_record();
  ssize_t written = is_positioned ? syscall(SYS_pwritev, fd, data, count, offset, 0) : syscall(SYS_writev, fd, data, count);
  int failure = errno;
  if (written > 0) {
    int flags = fcntl(fd, F_GETFL);
    struct stat entry;
    fstat(fd, &entry);
    if (flags & O_APPEND) offset = entry.st_size - written;
    else if (!is_positioned) offset = lseek(fd, 0, SEEK_CUR) - written;
    struct iovec done[count];
    note('W', entry.st_ino, offset, done, cut(data, count, written, done));
  }
  unlock_record();
  errno = failure;
  return written;
}

EXPORT ssize_t write(int fd, const void *data, size_t length) {
  if (!is_tracked(fd)) return syscall(SYS_write, fd, data, length);
  struct iovec one = {(void *)data, length};
  return write_file(fd, &one, 1, -1);
}
EXPORT ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  if (!is_tracked(fd)) return syscall(SYS_pwrite64, fd, data, length, offset);
  struct iovec one = {(void *)data, length};
  return write_file(fd, &one, 1, offset);
}
EXPORT ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }
EXPORT ssize_t writev(int fd, const struct iovec *data, int count) {
  if (!is_tracked(fd)) return syscall(SYS_writev, fd, data, count);
  return write_file(fd, data, count, -1);
}
EXPORT ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset) {
  if (!is_tracked(fd)) return syscall(SYS_pwritev, fd, data, count, offset, 0);
  return write_file(fd, data, count, offset);
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset) { return pwritev(fd, data, count, offset); }

EXPORT int ftruncate(int fd, off_t size) {
  if (!is_tracked(fd)) return syscall(SYS_ftruncate, fd, size);
  lock_record();
  int result = syscall(SYS_ftruncate, fd, size);
  int failure = errno;
  if (result == 0) note('T', file_of(fd), size, NULL, 0);
  unlock_record();
  errno = failure;
  return result;
}
EXPORT int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

/* The bytes do not matter, the size does. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t length) {
  if (!is_tracked(fd)) return REAL(posix_fallocate)(fd, offset, length);
  lock_record();
  int result = REAL(posix_fallocate)(fd, offset, length);
  struct stat entry;
  if (result == 0 && fstat(fd, &entry) == 0) note('T', entry.st_ino, entry.st_size, NULL, 0);
  unlock_record();
  return result;
}
EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

static int sync_file(int fd, long number) {
  if (!is_tracked(fd)) return syscall(number, fd);
  uint64_t file = file_of(fd);
  lock_record();
  note('S', file, 0, NULL, 0);
  off_t begun = lseek(record, 0, SEEK_END);
  unlock_record();
  int result = syscall(number, fd);
  int failure = errno;
  lock_record();
  if (result == 0) note('E', file, begun, NULL, 0);
  unlock_record();
  errno = failure;
  return result;
}
EXPORT int fsync(int fd) { return sync_file(fd, SYS_fsync); }
EXPORT int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

static int note_names(char type, int from_directory, const char *from, int to_directory, const char *to, int (*act)(int, const char *, int, const char *)) {
  char from_buffer[PATH_MAX], to_buffer[PATH_MAX];
  const char *from_name = below_root(from_directory, from, from_buffer);
  const char *to_name = to == NULL ? "" : below_root(to_directory, to, to_buffer);
  if (from_name == NULL || to_name == NULL) return act(from_directory, from, to_directory, to);
  lock_record();
  int result = act(from_directory, from, to_directory, to);
  int failure = errno;
  if (result == 0) {
    struct iovec names[] = {{(void *)from_name, strlen(from_name)}, {"\n", 1}, {(void *)to_name, strlen(to_name)}};
    note(type, 0, 0, names, 3);
  }
  unlock_record();
  errno = failure;
  return result;
}
static int do_rename(int a, const char *from, int b, const char *to) { return syscall(SYS_renameat2, a, from, b, to, 0); }
static int do_link(int a, const char *from, int b, const char *to) { return syscall(SYS_linkat, a, from, b, to, 0); }
static int do_unlink(int a, const char *path, int b, const char *to) { (void)b; (void)to; return syscall(SYS_unlinkat, a, path, 0); }

EXPORT int rename(const char *from, const char *to) { return note_names('R', AT_FDCWD, from, AT_FDCWD, to, do_rename); }
EXPORT int renameat(int a, const char *from, int b, const char *to) { return note_names('R', a, from, b, to, do_rename); }
EXPORT int link(const char *from, const char *to) { return note_names('L', AT_FDCWD, from, AT_FDCWD, to, do_link); }
EXPORT int linkat(int a, const char *from, int b, const char *to, int flags) {
  if (flags != 0) return syscall(SYS_linkat, a, from, b, to, flags);
  return note_names('L', a, from, b, to, do_link);
}
EXPORT int unlink(const char *path) { return note_names('U', AT_FDCWD, path, AT_FDCWD, NULL, do_unlink); }
EXPORT int unlinkat(int directory, const char *path, int flags) {
  if (flags != 0) return syscall(SYS_unlinkat, directory, path, flags);
  return note_names('U', directory, path, AT_FDCWD, NULL, do_unlink);
}
