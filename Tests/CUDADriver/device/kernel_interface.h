// What kernels compiled for the CPU ask of the driver for tests. Both sides include this file.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
#ifdef __cplusplus
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
#endif
};

/// What a thread knows of itself. Its place never changes, so a compiler may keep it over a switch of threads.
struct mf_cpu_thread {
  uint3 index, block;
  dim3 block_size, grid_size;
  unsigned lane;
};

/// How code is compiled into a module: a constant `mf_cpu_kernel_NAME` of this type for each kernel NAME.
struct mf_cpu_kernel {
  void (*call)(void *const *arguments);
  const size_t *argument_sizes;
  size_t argument_count;
  unsigned most_threads;  // of __launch_bounds__, 0: none given
};

/// Where a thread waits: `what` names the function that waits.
struct mf_cpu_place {
  const char *what, *file;
  int line;
};

enum mf_cpu_access { MF_CPU_READ, MF_CPU_WRITE, MF_CPU_ATOMIC };

/// Does a warp's operation for all its lanes at once: lanes[i] is what lane i brought, where bit i of mask is set.
typedef void (*mf_cpu_collective)(void *const *lanes, unsigned mask);

extern "C" {
const mf_cpu_thread *mf_cpu_self(void) __attribute__((const));
void *mf_cpu_dynamic_shared(void) __attribute__((const));

/// __syncthreads. Returns how many threads came with `predicate`.
int mf_cpu_block_barrier(bool predicate, mf_cpu_place place);

/// Waits for the lanes of `mask`; the last to come runs `all`. Orders no memory, as shuffles and votes order none.
void mf_cpu_warp(unsigned mask, mf_cpu_collective all, void *mine, mf_cpu_place place);

/// __syncwarp: as above, and what lanes of `mask` did to memory before it is seen after it.
void mf_cpu_warp_barrier(unsigned mask, mf_cpu_place place);

/// The lanes of this warp that have not returned.
unsigned mf_cpu_active_mask(void);

/// Reports an access that the compiler does not instrument: by warp operations, 16-byte loads, atomics. It must be
/// aligned to its size.
void mf_cpu_touch(const void *address, size_t bytes, mf_cpu_access kind);

/// Like cp.async: `bytes` are written to shared memory as late as may be, those from `valid` on as zeros.
void mf_cpu_copy_async(void *shared, const void *global, size_t bytes, size_t valid);
void mf_cpu_copy_commit(void);
void mf_cpu_copy_wait(unsigned groups_under_way);

/// Ends the launch with a report.
[[noreturn]] void mf_cpu_trap(const char *why);
}
