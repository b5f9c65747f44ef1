// The switch from one stack to another, for x86-64 and arm64.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Leaves the running stack, remembers its place in *from, and goes on where `to` was left.
void mf_fiber_switch(void **from, void *to);

/// Lays out a stack that ends at `high` (a multiple of 16), so that a switch to the place returned calls `entry`, which
/// must not return.
void *mf_fiber_start(char *high, void (*entry)(void));

#ifdef __cplusplus
}
#endif
