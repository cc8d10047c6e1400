/* Preloaded into the server: the n-th flush (FLUSH_FAILS_AT, from 1) of the file whose name ends in FLUSH_FAILS_OF,
 * counted from when the file FLUSH_FAILS_FROM is there, is answered with EIO. Only that one: a kernel tells an error
 * once, and forgets the pages. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long flushes;

static int is_of(int fd, const char *ending)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    ssize_t wanted = (ssize_t)strlen(ending);
    return length >= wanted && memcmp(path + length - wanted, ending, (size_t)wanted) == 0;
}

static int fails(int fd)
{
    const char *from = getenv("FLUSH_FAILS_FROM");
    const char *at = getenv("FLUSH_FAILS_AT");
    const char *of = getenv("FLUSH_FAILS_OF");
    if (!from || !at || !of || !is_of(fd, of) || access(from, F_OK) != 0)
        return 0;
    if (atomic_fetch_add(&flushes, 1) + 1 != atol(at))
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails(fd) ? -1 : real(fd);
}
