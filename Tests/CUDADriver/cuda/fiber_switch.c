#include "fiber_switch.h"

#include <string.h>

// What a called function must preserve is pushed on the stack that is left and popped from the one that is entered.
#if defined(__x86_64__)
__asm__(
    ".text\n"
    ".globl mf_fiber_switch\n"
    ".type mf_fiber_switch, @function\n"
    "mf_fiber_switch:\n"
    "pushq %rbp\n"
    "pushq %rbx\n"
    "pushq %r12\n"
    "pushq %r13\n"
    "pushq %r14\n"
    "pushq %r15\n"
    "movq %rsp, (%rdi)\n"
    "movq %rsi, %rsp\n"
    "popq %r15\n"
    "popq %r14\n"
    "popq %r13\n"
    "popq %r12\n"
    "popq %rbx\n"
    "popq %rbp\n"
    "retq\n"
    ".size mf_fiber_switch, .-mf_fiber_switch\n");
#elif defined(__aarch64__)
__asm__(
    ".text\n"
    ".globl mf_fiber_switch\n"
    ".type mf_fiber_switch, %function\n"
    "mf_fiber_switch:\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\n"
    "stp x21, x22, [sp, #16]\n"
    "stp x23, x24, [sp, #32]\n"
    "stp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\n"
    "stp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\n"
    "stp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\n"
    "stp d14, d15, [sp, #144]\n"
    "mov x9, sp\n"
    "str x9, [x0]\n"
    "mov sp, x1\n"
    "ldp x19, x20, [sp]\n"
    "ldp x21, x22, [sp, #16]\n"
    "ldp x23, x24, [sp, #32]\n"
    "ldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\n"
    "ldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\n"
    "ldp d10, d11, [sp, #112]\n"
    "ldp d12, d13, [sp, #128]\n"
    "ldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\n"
    "ret\n"
    ".size mf_fiber_switch, .-mf_fiber_switch\n");
#else
#error "The driver for tests has no switch of stacks for this processor"
#endif

void *mf_fiber_start(char *high, void (*entry)(void)) {
#if defined(__x86_64__)
  // Six registers, then the address that `ret` takes; a function begins 8 bytes off a multiple of 16.
  enum { frame_bytes = 64, entry_word = 6 };
#else
  // x19 to x30, of which the last is where `ret` goes, and d8 to d15.
  enum { frame_bytes = 160, entry_word = 11 };
#endif
  void **place = (void **)(high - frame_bytes);
  memset(place, 0, frame_bytes);
  place[entry_word] = (void *)entry;
  return place;
}
