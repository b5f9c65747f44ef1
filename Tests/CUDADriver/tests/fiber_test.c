// The switch of stacks, also where the driver itself is not built: arm64 under qemu. Two stacks take turns; each must
// find its variables again, whole and floating-point, more than there are registers that a function preserves.
#include <stdio.h>

#include "fiber_switch.h"

enum { STACK = 1 << 16, TURNS = 1000, VALUES = 24 };

static _Alignas(16) char stacks[2][STACK];
static void *places[2], *mine;
static int running;
static double sums[2];

// Variables that the compiler must keep in registers over a switch.
#define IN_REGISTERS __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e))

static void turn(void) { mf_fiber_switch(&places[running], mine); }

static void work(void) {
  long whole[VALUES];
  double real[VALUES];
  for (int i = 0; i < VALUES; i++) whole[i] = 100 * running + i, real[i] = running + 0.5 * i;
  const int self = running;
  long a = 1 + self, b = 3 + self, c = 5 + self, d = 7 + self, e = 9 + self;
  for (int t = 0; t < TURNS; t++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < VALUES; i++) whole[i] += i, real[i] += 0.25;
    IN_REGISTERS;
    turn();
    IN_REGISTERS;
    if (running != self || a != 1 + self || b != 3 + self || c != 5 + self || d != 7 + self || e != 9 + self)
      sums[self] = -1e30;
  }
  for (int i = 0; i < VALUES; i++) sums[self] += (double)whole[i] + real[i];
  for (;;) turn();
}

int main(void) {
  for (int i = 0; i < 2; i++) places[i] = mf_fiber_start(stacks[i] + STACK, work);
  // Values of ours, over all switches.
  double own = 0;
  for (int t = 0; t <= TURNS; t++)
    for (running = 0; running < 2; running++) {
      mf_fiber_switch(&mine, places[running]);
      own += 0.5;
    }
  for (int i = 0; i < 2; i++) {
    double expected = 0;
    for (int v = 0; v < VALUES; v++) expected += 100 * i + v + TURNS * v + i + 0.5 * v + 0.25 * TURNS;
    if (sums[i] != expected || own != TURNS + 1) {
      printf("FAILED: stack %d has %f, not %f; the main one %f\n", i, sums[i], expected, own);
      return 1;
    }
  }
  return 0;
}
