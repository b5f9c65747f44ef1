// Counts heap allocations of the thread that asks and of the kernels' workers, for tests that say "allocates nothing".
#ifndef MAYFLY_ALLOCATION_COUNTER_H
#define MAYFLY_ALLOCATION_COUNTER_H

#include <stdint.h>

/// Starts counting from zero.
void allocation_counter_start(void);
/// Stops counting and gives the number since the start. On the same thread.
int64_t allocation_counter_stop(void);

#endif
