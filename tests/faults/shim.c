/* Loaded before libc into a process under test: steps its clock, or lets its disk be full, as a file says.
 *
 * The file named by FAULTS_SHIM holds two numbers of eight bytes, mapped and read at each call: nanoseconds to add to the
 * wall clock, and whether every write to a regular file fails with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t nothing[2];
static volatile int64_t *state = nothing;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) state = mapped;
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int full(int fd) {
    struct stat found;
    if (!state[1] || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return 0;
    errno = ENOSPC;
    return 1;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*found)(clockid_t, struct timespec *);
    if (!found) found = REAL(clock_gettime);
    int status = found(id, at);
    if (status == 0 && state[0] && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t total = at->tv_sec * INT64_C(1000000000) + at->tv_nsec + state[0];
        at->tv_sec = total / 1000000000;
        at->tv_nsec = total % 1000000000;
    }
    return status;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &now);
    if (status == 0 && at) {
        at->tv_sec = now.tv_sec;
        at->tv_usec = now.tv_nsec / 1000;
    }
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*found)(int, const void *, size_t);
    if (!found) found = REAL(write);
    return full(fd) ? -1 : found(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*found)(int, const void *, size_t, off_t);
    if (!found) found = REAL(pwrite);
    return full(fd) ? -1 : found(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    static ssize_t (*found)(int, const void *, size_t, off64_t);
    if (!found) found = REAL(pwrite64);
    return full(fd) ? -1 : found(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    static ssize_t (*found)(int, const struct iovec *, int);
    if (!found) found = REAL(writev);
    return full(fd) ? -1 : found(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    static ssize_t (*found)(int, const struct iovec *, int, off_t);
    if (!found) found = REAL(pwritev);
    return full(fd) ? -1 : found(fd, parts, count, at);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*found)(int, off_t, off_t);
    if (!found) found = REAL(posix_fallocate);
    return full(fd) ? ENOSPC : found(fd, at, size);
}
