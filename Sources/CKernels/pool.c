// The thread pool: workers that spin for a moment, then sleep; tasks are claimed one by one from an atomic counter.
//
// A run is "open" while tasks may be claimed. Workers enter an open run by counting themselves into `state`, so that
// the caller waits only for workers that did enter, never for one that still sleeps: a late one finds the run closed.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { CACHE_LINE = 64, SPINS_PER_CLOCK = 64 };
static const int64_t spin_nanoseconds = 150'000;
static const size_t huge_page = (size_t)2 << 20;

// `state`: run number in the upper half, then one bit for open, then the count of workers inside.
static const uint64_t run_one = (uint64_t)1 << 32, open_bit = (uint64_t)1 << 31, inside_mask = ((uint64_t)1 << 31) - 1;

typedef struct {
  mf_pool *pool;
  pthread_t thread;
  int index;
} worker_slot;

struct mf_pool {
  alignas(CACHE_LINE) _Atomic(uint64_t) state;
  alignas(CACHE_LINE) _Atomic(int64_t) next;
  alignas(CACHE_LINE) _Atomic(int) sleepers;
  _Atomic(bool) stopping;
  // Written by the caller only while no worker is inside; published by `state`.
  alignas(CACHE_LINE) int64_t tasks;
  void (*body)(void *, int64_t, int);
  void *context;

  int threads;
  worker_slot *slots;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  char *scratch;
  size_t scratch_each;
};

static void pause_briefly(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

static void run_tasks(mf_pool *pool, int worker) {
  const int64_t tasks = pool->tasks;
  for (;;) {
    const int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (task >= tasks) return;
    pool->body(pool->context, task, worker);
  }
}

static bool is_new(uint64_t state, uint64_t last_run) { return (state & open_bit) != 0 && state / run_one != last_run; }

/// Waits until a run other than `last_run` is open (spinning, then asleep); false when the pool stops.
static bool wait_for_run(mf_pool *pool, uint64_t last_run) {
  int64_t deadline = 0;
  for (int spins = 0;; spins++) {
    if (is_new(atomic_load_explicit(&pool->state, memory_order_relaxed), last_run)) return true;
    if (atomic_load_explicit(&pool->stopping, memory_order_relaxed)) return false;
    pause_briefly();
    if (spins % SPINS_PER_CLOCK == 0) {
      const int64_t now = nanoseconds();
      if (deadline == 0) deadline = now + spin_nanoseconds;
      if (now > deadline) break;
    }
  }
  // Sequentially consistent on both sides: either the caller sees the sleeper, or the sleeper sees the run.
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleepers, 1);
  while (!is_new(atomic_load(&pool->state), last_run) && !atomic_load(&pool->stopping))
    pthread_cond_wait(&pool->wake, &pool->mutex);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
  return !atomic_load(&pool->stopping);
}

static void *worker_main(void *argument) {
  const worker_slot *slot = argument;
  mf_pool *pool = slot->pool;
#if defined(__linux__)
  // What profilers and debuggers show.
  pthread_setname_np(pthread_self(), "mayfly-worker");
#endif
  uint64_t last_run = 0;
  while (wait_for_run(pool, last_run)) {
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_relaxed);
    while (is_new(state, last_run)) {
      if (!atomic_compare_exchange_weak_explicit(
            &pool->state, &state, state + 1, memory_order_acquire, memory_order_relaxed))
        continue;
      last_run = state / run_one;
      run_tasks(pool, slot->index);
      atomic_fetch_sub_explicit(&pool->state, 1, memory_order_release);
      break;
    }
  }
  return NULL;
}

static void wake_all(mf_pool *pool) {
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->mutex);
}

void mf_parallel(mf_pool *pool, int64_t tasks, void (*body)(void *, int64_t, int), void *context) {
  if (tasks <= 1 || pool->threads == 1) {
    for (int64_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  pool->tasks = tasks;
  pool->body = body;
  pool->context = context;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  const uint64_t run = atomic_load_explicit(&pool->state, memory_order_relaxed) / run_one + 1;
  atomic_store(&pool->state, (run << 32) | open_bit);
  if (atomic_load(&pool->sleepers) > 0) wake_all(pool);

  run_tasks(pool, 0);
  uint64_t state = atomic_fetch_and_explicit(&pool->state, ~open_bit, memory_order_acquire);
  for (int spins = 0; (state & inside_mask) != 0; spins++) {
    // With fewer cores than threads the worker waited for may need this core.
    if (spins > 4096) sched_yield();
    else pause_briefly();
    state = atomic_load_explicit(&pool->state, memory_order_acquire);
  }
}

static void stop_workers(mf_pool *pool, int started) {
  atomic_store(&pool->stopping, true);
  wake_all(pool);
  for (int i = 1; i <= started; i++) pthread_join(pool->slots[i].thread, NULL);
}

static void free_pool(mf_pool *pool) {
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->scratch);
  free(pool->slots);
  free(pool);
}

mf_pool *mf_pool_create(int threads) {
  if (threads < 1) return NULL;
  mf_pool *pool = aligned_alloc(CACHE_LINE, (size_t)mf_round_up(sizeof(mf_pool), CACHE_LINE));
  if (pool == NULL) return NULL;
  memset(pool, 0, sizeof *pool);
  pool->threads = threads;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->slots = calloc((size_t)threads, sizeof *pool->slots);
  if (pool->slots == NULL) {
    free_pool(pool);
    return NULL;
  }
  for (int i = 1; i < threads; i++) {
    pool->slots[i].pool = pool;
    pool->slots[i].index = i;
    if (pthread_create(&pool->slots[i].thread, NULL, worker_main, &pool->slots[i]) != 0) {
      stop_workers(pool, i - 1);
      free_pool(pool);
      return NULL;
    }
  }
  return pool;
}

void mf_pool_destroy(mf_pool *pool) {
  if (pool == NULL) return;
  stop_workers(pool, pool->threads - 1);
  free_pool(pool);
}

int mf_pool_threads(const mf_pool *pool) { return pool->threads; }

bool mf_pool_reserve(mf_pool *pool, size_t bytes) {
  if (bytes <= pool->scratch_each) return true;
  // Whole huge pages for each worker: packed panels are walked with long strides, and workers share no page.
  const size_t each = (bytes + huge_page - 1) / huge_page * huge_page;
  if (each < bytes || each > SIZE_MAX / (size_t)pool->threads) return false;
  const size_t total = each * (size_t)pool->threads;
  char *scratch = aligned_alloc(huge_page, total);
  if (scratch == NULL) return false;
#if defined(__linux__)
  madvise(scratch, total, MADV_HUGEPAGE);
#endif
  free(pool->scratch);
  pool->scratch = scratch;
  pool->scratch_each = each;
  return true;
}

void *mf_pool_scratch(const mf_pool *pool, int worker) { return pool->scratch + pool->scratch_each * (size_t)worker; }
