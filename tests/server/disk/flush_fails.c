/* Preloaded into the server: the n-th flush (FLUSH_FAILS_AT, from 1, counted from when the file FLUSH_FAILS_FROM is
 * there) is answered with EIO. Only that one: a kernel tells an error once, and forgets the pages. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long flushes;

/* Counted from the moment that the file is there, so that a test decides when the disk begins to age. */
static int fails(void)
{
    const char *from = getenv("FLUSH_FAILS_FROM");
    const char *at = getenv("FLUSH_FAILS_AT");
    if (!from || !at || access(from, F_OK) != 0)
        return 0;
    if (atomic_fetch_add(&flushes, 1) + 1 != atol(at))
        return 0;
    errno = EIO;
    return 1;
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails() ? -1 : real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return fails() ? -1 : real(fd);
}
