/* A wall clock that a test can set, for processes that preload this: what they read of it is the true time and the
   seconds in the file $WALL_CLOCK (a long, in place). Waits until a time of that clock are kept by the true one, so
   that one which was computed before a jump ends too early or too late, as it would if the system's clock were set.
   (libfaketime 0.9.10 cannot be used: Python's time.sleep fails with it.) Only Linux on x86-64: see the symbol version below. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const long LONG_AGO = 1000000000; /* seconds; a clock that counts from the boot shows less */
static long no_jump;
static volatile long *jump_s = &no_jump;
static int (*wait_for_condition)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*wait_for_mutex)(pthread_mutex_t *, const struct timespec *);
static int (*wait_for_semaphore)(sem_t *, const struct timespec *);
static int (*wait_for_condition_by)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static long (*call_system)(long, ...);

__attribute__((constructor)) static void begin(void) {
  wait_for_condition = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"); /* an older one is found first */
  wait_for_mutex = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
  wait_for_semaphore = dlsym(RTLD_NEXT, "sem_timedwait");
  wait_for_condition_by = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  const char *path = getenv("WALL_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *memory = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) jump_s = memory;
  close(file);
}

static struct timespec truly(const struct timespec *until) {
  struct timespec found = *until;
  if (found.tv_sec > LONG_AGO) found.tv_sec -= *jump_s;
  return found;
}

/* What the C++ library waits for futures with. */
long syscall(long number, ...) {
  if (!call_system) call_system = dlsym(RTLD_NEXT, "syscall");
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  struct timespec found;
  if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) && a[3]) {
    found = truly((const struct timespec *)a[3]);
    a[3] = (long)&found;
  }
  return call_system(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *jump_s;
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  int failed = syscall(SYS_gettimeofday, now, zone);
  if (!failed) now->tv_sec += *jump_s;
  return failed;
}

time_t time(time_t *result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  struct timespec found = truly(until);
  return wait_for_condition(condition, mutex, &found);
}

int pthread_cond_clockwait(
    pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
  struct timespec found = truly(until);
  return wait_for_condition_by(condition, mutex, clock, &found);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
  struct timespec found = truly(until);
  return wait_for_mutex(mutex, &found);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  struct timespec found = truly(until);
  return wait_for_semaphore(semaphore, &found);
}
