#define _GNU_SOURCE
#include "AllocationCounter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static atomic_bool counting;
static atomic_llong count;

// Other tests run in this process at the same time: only the thread that asked and the kernels' workers count.
static _Thread_local bool is_asking;

void allocation_counter_start(void) {
  is_asking = true;
  atomic_store(&count, 0);
  atomic_store(&counting, true);
}

int64_t allocation_counter_stop(void) {
  atomic_store(&counting, false);
  is_asking = false;
  return atomic_load(&count);
}

#if defined(__linux__) && defined(__GLIBC__)

// An executable's own malloc takes the place of the C library's (glibc manual, "Replacing malloc").
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static bool is_worker(void) {
  char name[16] = {0};
  return pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "mayfly-worker") == 0;
}

static void note(void) {
  if (!atomic_load_explicit(&counting, memory_order_relaxed)) return;
  if (is_asking || is_worker()) atomic_fetch_add(&count, 1);
}

void *malloc(size_t size) {
  note();
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  note();
  return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size) {
  note();
  return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  note();
  *result = __libc_memalign(alignment, size);
  return *result == NULL ? 12 : 0;
}

void free(void *memory) { __libc_free(memory); }

#endif
