/* Preloaded into a process: once the file named by FAULT exists, writes, syncs or reads of databases fail as a disk's
 * do. The first word of that file is what fails (write, sync, read), the second the error number. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int fd, const char *what) {
    const char *trigger = getenv("FAULT");
    char wanted[16] = "", link[64], path[4096];
    int number = 0, kept = errno;
    FILE *file = trigger ? fopen(trigger, "r") : NULL;
    if (file) {
        if (fscanf(file, "%15s %d", wanted, &number) != 2) number = 0;
        fclose(file);
    }
    errno = kept;
    if (!number || strcmp(wanted, what)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, ".db") && !strstr(path, ".db.lock") ? number : 0;
}

#define WRAPPED(type, name, what, parameters, arguments)                    \
    type name parameters {                                                  \
        static type(*real) parameters;                                      \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);      \
        int number = fails(fd, what);                                       \
        if (number) {                                                       \
            errno = number;                                                 \
            return -1;                                                      \
        }                                                                   \
        return real arguments;                                              \
    }

WRAPPED(ssize_t, pwrite, "write", (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAPPED(ssize_t, pwrite64, "write", (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
WRAPPED(ssize_t, write, "write", (int fd, const void *b, size_t n), (fd, b, n))
WRAPPED(int, ftruncate, "write", (int fd, off_t n), (fd, n))
WRAPPED(int, ftruncate64, "write", (int fd, off64_t n), (fd, n))
WRAPPED(ssize_t, pread, "read", (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAPPED(ssize_t, pread64, "read", (int fd, void *b, size_t n, off64_t o), (fd, b, n, o))
WRAPPED(ssize_t, read, "read", (int fd, void *b, size_t n), (fd, b, n))
WRAPPED(int, fsync, "sync", (int fd), (fd))
WRAPPED(int, fdatasync, "sync", (int fd), (fd))
