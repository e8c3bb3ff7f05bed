/* Loaded into a node (LD_PRELOAD): moves its wall clock by the nanoseconds that the file named by CHAOS_CLOCK holds.
   Every other clock stays what it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *offset_ns;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void load(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *map = mmap(NULL, sizeof(long long), PROT_READ, MAP_SHARED, file, 0);
        if (map != MAP_FAILED)
            offset_ns = map;
        close(file);
    }
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    /* Before the constructor ran, for example while the allocator starts. */
    int result = real_clock_gettime ? real_clock_gettime(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && offset_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long ns = time->tv_nsec + *offset_ns % 1000000000LL;
        time->tv_sec += *offset_ns / 1000000000LL;
        if (ns < 0) {
            ns += 1000000000LL;
            time->tv_sec -= 1;
        } else if (ns >= 1000000000LL) {
            ns -= 1000000000LL;
            time->tv_sec += 1;
        }
        time->tv_nsec = ns;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return (time_t)-1;
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}
