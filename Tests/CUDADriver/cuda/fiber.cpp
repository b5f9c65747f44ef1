#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

// What a called function must preserve is pushed on the stack that is left and popped from the one that is entered.
#if defined(__x86_64__)
asm(R"(
.text
.globl mf_fiber_switch
.type mf_fiber_switch, @function
mf_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size mf_fiber_switch, .-mf_fiber_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl mf_fiber_switch
.type mf_fiber_switch, %function
mf_fiber_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size mf_fiber_switch, .-mf_fiber_switch
)");
#else
#error "The driver for tests has no switch of stacks for this processor"
#endif

namespace driver {

namespace {
constexpr size_t canary_words = 8;
constexpr uint64_t canary = 0x6d6179666c790a55;
}  // namespace

Stacks::~Stacks() {
  for (char *slab : slabs) munmap(slab, slab_bytes);
}

void *Stacks::prepare(size_t i, void (*entry)()) {
  while (i / stacks_a_slab >= slabs.size()) {
    void *slab = mmap(nullptr, slab_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED) throw std::bad_alloc();
    slabs.push_back(static_cast<char *>(slab));
  }
  char *low = low_end(i), *high = low + bytes;
  for (size_t word = 0; word < canary_words; word++) std::memcpy(low + 8 * word, &canary, 8);
#if defined(__x86_64__)
  // Six registers, then the address that `ret` takes; a function begins 8 bytes off a multiple of 16.
  void **place = reinterpret_cast<void **>(high - 64);
  std::memset(place, 0, 64);
  place[6] = reinterpret_cast<void *>(entry);
#elif defined(__aarch64__)
  void **place = reinterpret_cast<void **>(high - 160);
  std::memset(place, 0, 160);
  place[11] = reinterpret_cast<void *>(entry);  // x30
#endif
  return place;
}

bool Stacks::is_intact(size_t i) const {
  for (size_t word = 0; word < canary_words; word++)
    if (std::memcmp(low_end(i) + 8 * word, &canary, 8) != 0) return false;
  return true;
}

bool Stacks::contains(size_t i, size_t address) const {
  return address - reinterpret_cast<size_t>(low_end(i)) < bytes;
}

}  // namespace driver
