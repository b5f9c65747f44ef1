// What clang's instrumentation calls (-fsanitize=thread,bounds,alignment): our own, so that no sanitizer's runtime is
// needed. And the same for accesses that it does not see.
#include <cstring>
#include <string>

#include "block.h"
#include "faults.h"

using driver::Block;

// The call before which the caller will go on: its line is the one to report.
#define CALLER (reinterpret_cast<size_t>(__builtin_return_address(0)) - 1)

namespace {

void touch(const void *address, size_t bytes, mf_cpu_access kind, size_t caller) {
  if (Block *block = Block::current) block->check(reinterpret_cast<size_t>(address), bytes, kind, caller);
}

void touch_aligned(const void *address, size_t bytes, mf_cpu_access kind, size_t caller) {
  const size_t at = reinterpret_cast<size_t>(address);
  if (at % bytes != 0)
    Block::current->fail(driver::CUDA_ERROR_MISALIGNED_ADDRESS,
                         "accesses " + std::to_string(bytes) + " bytes that begin " + std::to_string(at % bytes) +
                             " bytes after a multiple of " + std::to_string(bytes),
                         caller);
  touch(address, bytes, kind, caller);
}

// What clang hands to a report of undefined behaviour; the parts that we read.
struct SourceLocation {
  const char *file;
  unsigned line, column;
};
struct OutOfBounds {
  SourceLocation location;
  const void *array_type, *index_type;
};
struct TypeMismatch {
  SourceLocation location;
  const void *type;
  unsigned char log_alignment, kind;
};

std::string words(const SourceLocation &location) {
  return location.file == nullptr ? "" : std::string(" (") + location.file + ":" + std::to_string(location.line) + ")";
}

}  // namespace

extern "C" {

void mf_cpu_touch(const void *address, size_t bytes, mf_cpu_access kind) { touch_aligned(address, bytes, kind, CALLER); }

void mf_cpu_copy_async(void *shared, const void *global, size_t bytes, size_t valid) {
  Block &block = *Block::current;
  const size_t to = reinterpret_cast<size_t>(shared), from = reinterpret_cast<size_t>(global);
  if (to % bytes != 0 || (valid > 0 && from % bytes != 0))
    block.fail(driver::CUDA_ERROR_MISALIGNED_ADDRESS, "starts a cp.async at an address that its size does not divide", CALLER);
  block.copy_async(static_cast<char *>(shared), static_cast<const char *>(global), bytes, valid, CALLER);
}
void mf_cpu_copy_commit(void) { Block::current->copy_commit(); }
void mf_cpu_copy_wait(unsigned groups_under_way) { Block::current->copy_wait(groups_under_way); }

void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}

#define TSAN_ACCESS(bytes)                                                                              \
  void __tsan_read##bytes(void *p) { touch(p, bytes, MF_CPU_READ, CALLER); }                            \
  void __tsan_write##bytes(void *p) { touch(p, bytes, MF_CPU_WRITE, CALLER); }                          \
  void __tsan_unaligned_read##bytes(void *p) { touch(p, bytes, MF_CPU_READ, CALLER); }                  \
  void __tsan_unaligned_write##bytes(void *p) { touch(p, bytes, MF_CPU_WRITE, CALLER); }                \
  void __tsan_volatile_read##bytes(void *p) { touch(p, bytes, MF_CPU_READ, CALLER); }                   \
  void __tsan_volatile_write##bytes(void *p) { touch(p, bytes, MF_CPU_WRITE, CALLER); }                 \
  void __tsan_read_write##bytes(void *p) {                                                              \
    touch(p, bytes, MF_CPU_READ, CALLER);                                                               \
    touch(p, bytes, MF_CPU_WRITE, CALLER);                                                              \
  }
TSAN_ACCESS(1)
TSAN_ACCESS(2)
TSAN_ACCESS(4)
TSAN_ACCESS(8)
TSAN_ACCESS(16)
#undef TSAN_ACCESS

void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

void *__tsan_memcpy(void *to, const void *from, size_t bytes) {
  if (bytes > 0) touch(from, bytes, MF_CPU_READ, CALLER), touch(to, bytes, MF_CPU_WRITE, CALLER);
  return std::memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, size_t bytes) {
  if (bytes > 0) touch(from, bytes, MF_CPU_READ, CALLER), touch(to, bytes, MF_CPU_WRITE, CALLER);
  return std::memmove(to, from, bytes);
}
void *__tsan_memset(void *to, int value, size_t bytes) {
  if (bytes > 0) touch(to, bytes, MF_CPU_WRITE, CALLER);
  return std::memset(to, value, bytes);
}

void __ubsan_handle_out_of_bounds_abort(OutOfBounds *data, void *index) {
  Block::current->fail(driver::CUDA_ERROR_ILLEGAL_ADDRESS,
                       "uses index " + std::to_string(reinterpret_cast<long long>(index)) + " of an array that is shorter" +
                           words(data->location),
                       CALLER);
}

void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch *data, void *address) {
  const size_t at = reinterpret_cast<size_t>(address), alignment = size_t(1) << data->log_alignment;
  Block::current->fail(driver::CUDA_ERROR_MISALIGNED_ADDRESS,
                       "accesses an address that must be a multiple of " + std::to_string(alignment) + " and is " +
                           std::to_string(at % alignment) + " more" + words(data->location),
                       CALLER);
}
}
