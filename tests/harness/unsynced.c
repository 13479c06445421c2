/* Notes what a process writes below the directories of DRUMLIN_UNSYNCED_BELOW (with colons between them) and has not synced, so that a test can take it back.
 *
 * Preloaded into a server by tests/harness/unsynced.rs. Every write goes to the file system as it is; before it, what it
 * replaces is put into a journal of this process in DRUMLIN_UNSYNCED_JOURNALS. An fsync or fdatasync that succeeds notes
 * that what began before it is safe. After all processes were killed, the test undoes what no sync covers: names that were
 * made, moved or removed by the sync of their directory, bytes and lengths by the sync of their file.
 *
 * With DRUMLIN_UNSYNCED_IGNORES_SYNC nothing is safe ever: to see that a test finds what is lost.
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITE = 1, LENGTH = 2, MADE = 3, MOVED = 4, REMOVED = 5, SYNCED = 6, NAMES_SYNCED = 7 };

/* Then the bytes, then the names. `size`: of the file before; of a sync, the moment up to which all is safe. */
struct record {
    uint32_t magic, kind;
    uint64_t moment, inode, offset, length, size, bytes;
    uint32_t first, second;
};

#define MAGIC 0x554e5359u
#define FILES_MAX 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[FILES_MAX];
static int journal = -1;
static const char *below, *journals;
static int ignores_sync;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void prepare(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    below = getenv("DRUMLIN_UNSYNCED_BELOW");
    journals = getenv("DRUMLIN_UNSYNCED_JOURNALS");
    ignores_sync = getenv("DRUMLIN_UNSYNCED_IGNORES_SYNC") != NULL;
    if (!journals) below = NULL;
}

/* The same for all processes of a machine. */
static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int is_below(const char *path) {
    for (const char *next = below; next && *next;) {
        size_t length = strcspn(next, ":");
        if (strncmp(path, next, length) == 0 && (path[length] == '/' || path[length] == 0)) return 1;
        next += length + (next[length] == ':');
    }
    return 0;
}

/* A directory whose sync makes the names of what is watched safe. */
static int is_above(const char *path) {
    size_t length = strlen(path);
    for (const char *next = below; next && *next;) {
        if (strncmp(path, next, length) == 0 && next[length] == '/') return 1;
        next += strcspn(next, ":");
        next += *next == ':';
    }
    return 0;
}

static int is_watched(int file) { return file >= 0 && file < FILES_MAX && watched[file]; }

/* An error of the journal must not look like one of the server: it ends the process. */
static void give_up(const char *what) {
    perror(what);
    abort();
}

static void put(const void *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = real_write(journal, bytes, count);
        if (done < 0) give_up("journal of unsynced writes");
        bytes = (const char *)bytes + done;
        count -= (size_t)done;
    }
}

/* Under the lock. */
static void note(struct record record, const void *bytes, const char *first, const char *second) {
    if (journal < 0) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%d-%llu.journal", journals, getpid(), (unsigned long long)now());
        journal = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (journal < 0) give_up(path);
    }
    record.magic = MAGIC;
    record.first = first ? (uint32_t)strlen(first) : 0;
    record.second = second ? (uint32_t)strlen(second) : 0;
    put(&record, sizeof record);
    if (record.bytes) put(bytes, record.bytes);
    if (first) put(first, record.first);
    if (second) put(second, record.second);
}

/* Under the lock: what `length` bytes from `offset` on replace. Zeros at the end are not kept. */
static void note_old(int file, enum kind kind, uint64_t offset, uint64_t length) {
    struct stat now_there;
    if (fstat(file, &now_there) != 0) return;
    uint64_t size = (uint64_t)now_there.st_size;
    uint64_t kept = offset >= size ? 0 : size - offset < length ? size - offset : length;
    char *old = kept ? malloc(kept) : NULL;
    uint64_t got = 0;
    while (got < kept) {
        ssize_t part = pread(file, old + got, kept - got, (off_t)(offset + got));
        if (part <= 0) break;
        got += (uint64_t)part;
    }
    while (got > 0 && old[got - 1] == 0) got--;
    struct record record = { .kind = kind, .moment = now(), .inode = now_there.st_ino, .offset = offset, .length = length, .size = size, .bytes = got };
    note(record, old, NULL, NULL);
    free(old);
}

static int opened(int file, const char *path, int flags, int was_there) {
    if (file < 0 || file >= FILES_MAX) return file;
    watched[file] = (unsigned char)(is_below(path) || is_above(path));
    if (is_below(path) && (flags & O_CREAT) && !was_there) {
        pthread_mutex_lock(&lock);
        note((struct record){ .kind = MADE, .moment = now() }, NULL, path, NULL);
        pthread_mutex_unlock(&lock);
    }
    return file;
}

#define MODE(flags)                                                        \
    mode_t mode = 0;                                                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                 \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode = (mode_t)va_arg(rest, int);                                  \
        va_end(rest);                                                      \
    }

static int open_here(const char *path, int flags, mode_t mode) {
    int was_there = is_below(path) && access(path, F_OK) == 0;
    return opened(real_open(path, flags, mode), path, flags, was_there);
}

int open(const char *path, int flags, ...) {
    MODE(flags);
    return open_here(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags);
    return open_here(path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
    MODE(flags);
    return path[0] == '/' ? open_here(path, flags, mode) : real_openat(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
    MODE(flags);
    return path[0] == '/' ? open_here(path, flags, mode) : real_openat(directory, path, flags, mode);
}

int close(int file) {
    if (file >= 0 && file < FILES_MAX) watched[file] = 0;
    return real_close(file);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    if (!is_watched(file)) return real_pwrite(file, bytes, count, offset);
    pthread_mutex_lock(&lock);
    note_old(file, WRITE, (uint64_t)offset, count);
    ssize_t done = real_pwrite(file, bytes, count, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) { return pwrite(file, bytes, count, offset); }

static void note_at_end(int file, uint64_t count) {
    off_t at = fcntl(file, F_GETFL) & O_APPEND ? lseek(file, 0, SEEK_END) : lseek(file, 0, SEEK_CUR);
    if (at >= 0) note_old(file, WRITE, (uint64_t)at, count);
}

ssize_t write(int file, const void *bytes, size_t count) {
    if (!is_watched(file)) return real_write(file, bytes, count);
    pthread_mutex_lock(&lock);
    note_at_end(file, count);
    ssize_t done = real_write(file, bytes, count);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_watched(file)) return real_writev(file, parts, count);
    uint64_t all = 0;
    for (int at = 0; at < count; at++) all += parts[at].iov_len;
    pthread_mutex_lock(&lock);
    note_at_end(file, all);
    ssize_t done = real_writev(file, parts, count);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int file, off_t length) {
    if (!is_watched(file)) return real_ftruncate(file, length);
    pthread_mutex_lock(&lock);
    note_old(file, LENGTH, (uint64_t)length, UINT64_MAX);
    int done = real_ftruncate(file, length);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

static int synced(int file, int (*sync)(int)) {
    uint64_t begun = now();
    int done = sync(file);
    struct stat there;
    if (done != 0 || !is_watched(file) || ignores_sync || fstat(file, &there) != 0) return done;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return done;
    path[length] = 0;
    enum kind kind = S_ISDIR(there.st_mode) ? NAMES_SYNCED : SYNCED;
    pthread_mutex_lock(&lock);
    note((struct record){ .kind = kind, .moment = now(), .inode = there.st_ino, .size = begun }, NULL, path, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int file) { return synced(file, real_fsync); }

int fdatasync(int file) { return synced(file, real_fdatasync); }

/* Under the lock: another name for what is about to lose its own. Empty where nothing is there. */
static void keep(const char *path, char *kept, size_t size) {
    snprintf(kept, size, "%s/%d-%llu.kept", journals, getpid(), (unsigned long long)now());
    if (link(path, kept) != 0) kept[0] = 0;
}

int rename(const char *from, const char *to) {
    if (!is_below(from) && !is_below(to)) return real_rename(from, to);
    char kept[PATH_MAX], both[2 * PATH_MAX];
    pthread_mutex_lock(&lock);
    keep(to, kept, sizeof kept);
    /* The kept name stands behind the second one. */
    snprintf(both, sizeof both, "%s\n%s", to, kept);
    int done = real_rename(from, to);
    if (done == 0) note((struct record){ .kind = MOVED, .moment = now() }, NULL, from, both);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    if (!is_below(path)) return real_unlink(path);
    char kept[PATH_MAX];
    pthread_mutex_lock(&lock);
    keep(path, kept, sizeof kept);
    int done = real_unlink(path);
    if (done == 0 && kept[0]) note((struct record){ .kind = REMOVED, .moment = now() }, NULL, path, kept);
    pthread_mutex_unlock(&lock);
    return done;
}
