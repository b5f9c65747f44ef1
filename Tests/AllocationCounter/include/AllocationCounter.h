// Counts heap allocations of the whole process, for tests that say "allocates nothing".
#ifndef MAYFLY_ALLOCATION_COUNTER_H
#define MAYFLY_ALLOCATION_COUNTER_H

#include <stdint.h>

/// Starts counting from zero.
void allocation_counter_start(void);
/// Stops counting and gives the number of allocations by any thread since the start.
int64_t allocation_counter_stop(void);

#endif
