/* A disk that loses, at a moment of the test's choice, what nobody had synced.

   Preloaded into a process, it notes every change of the files whose path begins with
   POWERCUT_FILES (not of "-shm" files, which SQLite makes anew) together with what was
   there before. A sync makes a file's changes permanent. At change or sync number
   POWERCUT_AT the power goes: all other changes are undone, then a random part of them
   is made after all, some only up to a sector's end, as a disk with a cache would; then
   the process is gone. With POWERCUT_KEEP=0 no part is. POWERCUT_REPORT is a file that
   gets "<changes undone> <of these, made after all>".

   While there is a file POWERCUT_FULL nothing can grow: ENOSPC.

   Not simulated: names of files that were made, renamed or removed and whose folder was
   not synced. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FDS = 4096, MOST_FILES = 64, SECTOR = 512 };

struct change {
    off_t at;
    size_t length;      /* of what was written; 0: the size was set, to `at` */
    size_t was_length;  /* how much of it there was before */
    off_t size_before;
    char *written, *was;
    struct change *next; /* the one before it */
};

struct file {
    dev_t device;
    ino_t number;
    char path[PATH_MAX];
    struct change *newest;
};

static struct file files[MOST_FILES];
static int file_count;
static struct file *of_fd[MOST_FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long count, cut_at;
static unsigned int seed;
static int keeps;
static const char *prefix, *full;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_open)(const char *, int, ...);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_close)(int);

__attribute__((constructor)) static void begin(void)
{
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_close = dlsym(RTLD_NEXT, "close");
    prefix = getenv("POWERCUT_FILES");
    full = getenv("POWERCUT_FULL");
    const char *at = getenv("POWERCUT_AT"), *given = getenv("POWERCUT_SEED");
    const char *keep = getenv("POWERCUT_KEEP");
    cut_at = at ? atol(at) : LONG_MAX;
    seed = given ? (unsigned int)atol(given) : 1;
    keeps = !keep || atoi(keep);
}

static int is_ours(const char *path)
{
    size_t length = strlen(path);
    return prefix && !strncmp(path, prefix, strlen(prefix))
        && !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static struct file *file_of(int fd)
{
    return fd >= 0 && fd < MOST_FDS ? of_fd[fd] : NULL;
}

static void forget(struct file *file)
{
    while (file->newest) {
        struct change *change = file->newest;
        file->newest = change->next;
        free(change->written);
        free(change->was);
        free(change);
    }
}

static void opened(int fd, const char *path)
{
    struct stat found;
    if (fd < 0 || fd >= MOST_FDS || !is_ours(path) || fstat(fd, &found))
        return;
    pthread_mutex_lock(&lock);
    struct file *file = NULL;
    for (int i = 0; i < file_count; i++)
        if (!strcmp(files[i].path, path))
            file = &files[i];
    if (!file && file_count < MOST_FILES) {
        file = &files[file_count++];
        snprintf(file->path, sizeof file->path, "%s", path);
    }
    if (file && (file->device != found.st_dev || file->number != found.st_ino)) {
        forget(file); /* another file of that name */
        file->device = found.st_dev;
        file->number = found.st_ino;
    }
    of_fd[fd] = file;
    pthread_mutex_unlock(&lock);
}

/* -- the cut -- */

static void apply(int fd, const struct change *change, size_t length)
{
    if (!change->length)
        real_ftruncate(fd, change->at);
    else if (real_pwrite(fd, change->written, length, change->at) < 0)
        _exit(98);
}

static long undo(struct file *file, int fd)
{
    long undone = 0;
    for (struct change *change = file->newest; change; change = change->next) {
        if (change->was_length
            && real_pwrite(fd, change->was, change->was_length, change->at) < 0)
            _exit(98);
        real_ftruncate(fd, change->size_before);
        undone++;
    }
    return undone;
}

static long make_some(struct file *file, int fd)
{
    struct change *oldest = NULL, *change = file->newest;
    while (change) { /* turn the list round */
        struct change *next = change->next;
        change->next = oldest;
        oldest = change;
        change = next;
    }
    file->newest = NULL;
    long made = 0;
    for (change = oldest; change; change = change->next) {
        int chance = rand_r(&seed) % 4;
        if (chance > 1)
            continue;
        size_t length = change->length;
        if (chance == 1 && length > SECTOR)
            length = (rand_r(&seed) % (length / SECTOR)) * SECTOR;
        if (change->length && !length)
            continue;
        apply(fd, change, length);
        made++;
    }
    return made;
}

static void cut(void)
{
    long undone = 0, made = 0;
    for (int i = 0; i < file_count; i++) {
        struct file *file = &files[i];
        if (!file->newest)
            continue;
        int fd = real_open(file->path, O_RDWR);
        struct stat found;
        if (fd < 0 || fstat(fd, &found) || found.st_ino != file->number)
            continue; /* removed meanwhile */
        undone += undo(file, fd);
        if (keeps)
            made += make_some(file, fd);
        real_fsync(fd);
    }
    const char *report = getenv("POWERCUT_REPORT");
    int fd = report ? real_open(report, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
    if (fd >= 0) {
        char text[64];
        int length = snprintf(text, sizeof text, "%ld %ld\n", undone, made);
        if (real_write(fd, text, length) != length)
            _exit(98);
    }
    _exit(97);
}

static void step(void)
{
    if (++count >= cut_at)
        cut();
}

/* -- what processes call -- */

static int grows(int fd, off_t end)
{
    struct stat found;
    return full && !access(full, F_OK) && !fstat(fd, &found) && end > found.st_size;
}

static ssize_t note_write(struct file *file, int fd, const void *data, size_t length,
                          off_t at)
{
    struct stat found;
    struct change *change = calloc(1, sizeof *change);
    change->written = malloc(length);
    change->was = malloc(length);
    memcpy(change->written, data, length);
    fstat(fd, &found);
    change->at = at;
    change->size_before = found.st_size;
    ssize_t was = pread64(fd, change->was, length, at);
    change->was_length = was > 0 ? (size_t)was : 0;
    ssize_t done = real_pwrite(fd, data, length, at);
    if (done <= 0) {
        free(change->written);
        free(change->was);
        free(change);
        return done;
    }
    change->length = (size_t)done;
    if (change->was_length > change->length)
        change->was_length = change->length;
    change->next = file->newest;
    file->newest = change;
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t at)
{
    struct file *file = file_of(fd);
    if (!file || !length)
        return real_pwrite(fd, data, length, at);
    if (grows(fd, at + (off_t)length)) {
        errno = ENOSPC;
        return -1;
    }
    pthread_mutex_lock(&lock);
    step();
    ssize_t done = note_write(file, fd, data, length, at);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
    return pwrite64(fd, data, length, at);
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (!file_of(fd))
        return real_write(fd, data, length);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = pwrite64(fd, data, length, at);
    if (done > 0)
        lseek(fd, at + done, SEEK_SET);
    return done;
}

int ftruncate64(int fd, off_t size)
{
    struct file *file = file_of(fd);
    struct stat found;
    if (!file)
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    step();
    struct change *change = calloc(1, sizeof *change);
    fstat(fd, &found);
    change->at = size;
    change->size_before = found.st_size;
    if (found.st_size > size) { /* what is cut off has to come back */
        struct change *tail = calloc(1, sizeof *tail);
        tail->at = size;
        tail->was_length = (size_t)(found.st_size - size);
        tail->was = malloc(tail->was_length);
        tail->length = tail->was_length;
        tail->written = malloc(tail->length);
        if (pread64(fd, tail->was, tail->was_length, size) < 0)
            tail->was_length = 0;
        memcpy(tail->written, tail->was, tail->was_length);
        tail->size_before = found.st_size;
        tail->next = file->newest;
        file->newest = tail;
    }
    int failed = real_ftruncate(fd, size);
    change->next = file->newest;
    file->newest = change;
    pthread_mutex_unlock(&lock);
    return failed;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*sync)(int))
{
    struct file *file = file_of(fd);
    if (!file)
        return sync(fd);
    pthread_mutex_lock(&lock);
    step();
    int failed = sync(fd);
    if (!failed)
        forget(file);
    pthread_mutex_unlock(&lock);
    return failed;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int fd = real_open(path, flags, flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0);
    va_end(more);
    opened(fd, path);
    return fd;
}

/* The same where numbers of 64 bits are, and with the same arguments. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int close(int fd)
{
    if (fd >= 0 && fd < MOST_FDS)
        of_fd[fd] = NULL;
    return real_close(fd);
}
