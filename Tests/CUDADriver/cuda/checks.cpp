// Every access of a kernel comes here: does it lie in memory that is there, and does anything order it against others?
#include "checks.h"

#include <algorithm>
#include <cstdio>

#include "block.h"
#include "faults.h"

namespace driver {

namespace {

const char *verb(mf_cpu_access kind) {
  return kind == MF_CPU_READ ? "reads" : kind == MF_CPU_WRITE ? "writes" : "changes (atomically)";
}

std::string access_words(mf_cpu_access kind, size_t bytes) {
  return std::string(verb(kind)) + " " + std::to_string(bytes) + (bytes == 1 ? " byte " : " bytes ");
}

}  // namespace

// MARK: Time

uint64_t Block::epoch() const { return first_epoch + barriers % epochs_a_block; }

void Block::renew_record(Thread &t) {
  const Warp &w = warps[t.number / 32];
  const unsigned clock = w.epoch == epoch() ? w.seen[t.self.lane][t.self.lane] : 0;
  t.record = pack(epoch(), t.number, clock);
}

void Block::renew_records() {
  for (unsigned i = 0; i < count; i++) renew_record(threads[i]);
}

/// Each lane of the mask now knows what the others know.
void Block::join(Warp &w, unsigned mask) {
  if (w.epoch != epoch()) {
    std::memset(w.seen, 0, sizeof w.seen);
    w.epoch = epoch();
  }
  uint16_t known[32] = {};
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    if (w.seen[lane][lane] < clock_limit) w.seen[lane][lane]++;
    for (unsigned i = 0; i < 32; i++) known[i] = std::max(known[i], w.seen[lane][i]);
  }
  Thread *lanes = &threads[size_t(&w - warps.data()) * 32];
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    std::memcpy(w.seen[lane], known, sizeof known);
    renew_record(lanes[lane]);
  }
}

/// Whether what was recorded has certainly happened before what the running thread does now. Epochs below `floor` are
/// past.
bool Block::is_ordered(uint64_t record, uint64_t floor) const {
  const uint64_t then = epoch_of(record);
  if (then < floor) return true;
  if (then != epoch()) return then - first_epoch < epochs_a_block;
  const unsigned other = thread_of(record), self = running->number;
  if (other == self) return true;
  if (other / 32 != self / 32) return false;
  const Warp &w = warps[self / 32];
  return w.epoch == then && clock_of(record) < w.seen[self % 32][other % 32];
}

// MARK: Place

void Block::check(size_t address, size_t bytes, mf_cpu_access kind, size_t code_address, bool is_copy) {
  if (Memory &memory = Memory::shared(); memory.contains(address)) {
    if (!memory.holds(address, bytes)) report_stray(address, bytes, kind, code_address);
    return check_cells(memory.cells(address & ~size_t(1)), address, bytes, kind, false, code_address, is_copy);
  }
  const size_t in_dynamic = address - reinterpret_cast<size_t>(dynamic_shared);
  if (in_dynamic < launch->shared_bytes && bytes <= launch->shared_bytes - in_dynamic)
    return check_cells(&dynamic_cells[in_dynamic / 2], address, bytes, kind, true, code_address, is_copy);
  const CUmod_st &module = *launch->function->module;
  const size_t in_static = address - reinterpret_cast<size_t>(static_shared);
  if (in_static < module.static_shared_bytes && bytes <= module.static_shared_bytes - in_static)
    return check_cells(&static_cells[in_static / 2], address, bytes, kind, true, code_address, is_copy);
  if (stacks.contains(running->number, address)) return;
  for (const CUmod_st::Segment &segment : module.segments)
    if (address - segment.address < segment.bytes && (kind == MF_CPU_READ || segment.is_writable)) return;
  report_stray(address, bytes, kind, code_address);
}

void Block::report_stray(size_t address, size_t bytes, mf_cpu_access kind, size_t code_address) {
  const size_t dynamic = reinterpret_cast<size_t>(dynamic_shared), reach = 64 << 10;
  if (stacks.contains(running->number, address + Stacks::bytes)) fail(CUDA_ERROR_LAUNCH_FAILED, too_little_stack, code_address);
  std::string where;
  char number[40];
  std::snprintf(number, sizeof number, "at 0x%zx, ", address);
  if (Memory::shared().contains(address)) {
    where = Memory::shared().describe(address);
  } else if (address + reach >= dynamic && address < dynamic + launch->shared_bytes + reach) {
    const std::string what = "the block's dynamic shared memory of " + std::to_string(launch->shared_bytes) + " bytes";
    where = address < dynamic ? std::to_string(dynamic - address) + " bytes before " + what
            : address < dynamic + launch->shared_bytes
                ? "over the end of " + what
                : std::to_string(address - dynamic - launch->shared_bytes) + " bytes past the end of " + what;
  } else {
    where = "which is neither global nor shared memory nor its own";
  }
  fail(CUDA_ERROR_ILLEGAL_ADDRESS, access_words(kind, bytes) + number + where, code_address);
}

// MARK: Order

void Block::check_cells(Cell *cells, size_t address, size_t bytes, mf_cpu_access kind, bool is_shared,
                        size_t code_address, bool is_copy) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const uint64_t floor = is_shared ? first_epoch : launch->first_epoch;
  const uint64_t record = running->record | (kind == MF_CPU_ATOMIC ? atomic_bit : 0);
  const bool is_write = kind != MF_CPU_READ;

  const size_t end = address + bytes;
  for (size_t at = address & ~size_t(1); at < end; at += 2, cells++) {
    const uint64_t mask = (at >= address ? 1 : 0) | (at + 1 < end ? 2 : 0);
    const uint64_t now = record | mask;
    const uint64_t write = cells->write.load(relaxed);
    if (is_shared) {
      if (epoch_of(write) < floor) {
        if (kind != MF_CPU_WRITE)
          fail(CUDA_ERROR_LAUNCH_FAILED,
               access_words(kind, bytes) + "of shared memory that nobody has written: uninitialised", code_address);
      } else if (clock_of(write) == clock_of_copy && (write & mask) != 0 && epoch_of(write) >= floor) {
        fail(CUDA_ERROR_LAUNCH_FAILED,
             access_words(kind, bytes) + "of shared memory that a cp.async of " + who(thread_of(write)) +
                 " still writes: its wait_group is missing or too weak",
             code_address);
      }
    }
    const bool both_atomic = kind == MF_CPU_ATOMIC && (write & atomic_bit) != 0;
    if ((write & mask) != 0 && !both_atomic && !is_ordered(write, floor))
      report_race(write, true, kind, bytes, address, is_shared, code_address);

    const uint64_t reads[2] = {cells->reads[0].load(relaxed), cells->reads[1].load(relaxed)};
    if (is_write) {
      for (uint64_t read : reads)
        if ((read & mask) != 0 && !is_ordered(read, floor))
          report_race(read, false, kind, bytes, address, is_shared, code_address);
      const uint64_t copy = pack(epoch_of(now), thread_of(now), clock_of_copy) | mask;
      cells->write.store(is_copy ? copy : now, relaxed);
    } else if (reads[0] != now) {
      // Two readers are kept that nothing orders: one of them at least is not the thread that may write next.
      const int slot = is_ordered(reads[0], floor) ? 0 : 1;
      const uint64_t same = (reads[slot] | byte_bits) == (now | byte_bits) ? reads[slot] & byte_bits : 0;
      cells->reads[slot].store(now | same, relaxed);
    }
  }
}

void Block::report_race(uint64_t record, bool was_write, mf_cpu_access kind, size_t bytes, size_t address,
                        bool is_shared, size_t code_address) {
  std::string other;
  if (epoch_of(record) - first_epoch >= epochs_a_block) {
    other = "another block of the launch (its thread " + std::to_string(thread_of(record)) + ")";
  } else {
    other = "thread " + std::to_string(thread_of(record)) + " of the block";
    if (thread_of(record) / 32 == running->number / 32) other += " (of the same warp)";
  }
  std::string place = is_shared ? "of shared memory" : "of global memory";
  if (!is_shared) {
    const Allocation *a = Memory::shared().nearest(address);
    place += " (byte " + std::to_string(address - a->address) + " of an allocation of " + std::to_string(a->bytes) + ")";
  }
  fail(CUDA_ERROR_LAUNCH_FAILED,
       access_words(kind, bytes) + place + " that " + other + (was_write ? " writes" : " reads") +
           ", with nothing between that orders them: a race",
       code_address);
}

// MARK: Copies under way

void Block::copy_async(char *shared, const char *global, size_t bytes, size_t valid, size_t code_address) {
  if (valid > 0) check(reinterpret_cast<size_t>(global), valid, MF_CPU_READ, code_address);
  check(reinterpret_cast<size_t>(shared), bytes, MF_CPU_WRITE, code_address, true);
  running->copies.push_back({shared, global, bytes, valid, running->open_group});
}

/// Copies land here and not before: as late as the hardware may let them.
void Block::copy_wait(unsigned groups_under_way) {
  Thread &t = *running;
  auto stays = [&](const Copy &c) { return c.group + groups_under_way >= t.open_group; };
  for (const Copy &c : t.copies) {
    if (stays(c)) continue;
    std::memcpy(c.shared, c.global, c.valid);
    std::memset(c.shared + c.valid, 0, c.bytes - c.valid);
    const size_t in_dynamic = size_t(c.shared - dynamic_shared);
    Cell *cells = in_dynamic < launch->shared_bytes ? &dynamic_cells[in_dynamic / 2]
                                                    : &static_cells[size_t(c.shared - static_shared) / 2];
    for (size_t i = 0; i < c.bytes / 2; i++)
      cells[i].write.store(t.record | byte_bits, std::memory_order_relaxed);
  }
  std::erase_if(t.copies, [&](const Copy &c) { return !stays(c); });
}

}  // namespace driver
