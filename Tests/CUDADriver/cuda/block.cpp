#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "checks.h"
#include "faults.h"

namespace driver {

thread_local Block *Block::current = nullptr;

namespace {
constexpr size_t most_dynamic_shared = 256 << 10;
// Around dynamic shared memory: what runs over its ends hits nothing else.
constexpr size_t margin = 64 << 10;
}  // namespace

uint64_t Block::next_epochs() {
  // Starts above the records of cells that were never used.
  static std::atomic<uint64_t> next{epochs_a_block};
  return next.fetch_add(epochs_a_block);
}

Block::Block() : shared_room(new char[most_dynamic_shared + 2 * margin + 1024]), dynamic_cells(most_dynamic_shared / 2) {
  const size_t start = reinterpret_cast<size_t>(shared_room.get()) + margin;
  dynamic_shared = reinterpret_cast<char *>((start + 1023) / 1024 * 1024);
}

void Block::prepare(Launch &of) {
  launch = &of;
  count = of.block.x * of.block.y * of.block.z;
  if (threads.size() < count) threads.resize(count);
  if (warps.size() < (count + 31) / 32) warps.resize((count + 31) / 32);
  static_shared = of.function->module->static_shared();
  const size_t cells = of.function->module->static_shared_bytes / 2 + 1;
  if (static_cells.size() < cells) std::vector<Cell>(cells).swap(static_cells);
}

std::string Block::who(unsigned thread) const {
  const uint3 &b = threads[thread].self.block, &t = threads[thread].self.index;
  char text[120];
  std::snprintf(text, sizeof text, "block (%u, %u, %u), thread (%u, %u, %u)", b.x, b.y, b.z, t.x, t.y, t.z);
  return text;
}

// MARK: Running

void Block::run(uint64_t index) {
  first_epoch = next_epochs();
  barriers = 0;
  arrived = 0;
  votes = 0;
  has_failed = false;
  alive = count;
  const dim3 size = launch->block, grid = launch->grid;
  const uint3 place{unsigned(index % grid.x), unsigned(index / grid.x % grid.y), unsigned(index / grid.x / grid.y)};
  for (unsigned i = 0; i < count; i++) {
    Thread &t = threads[i];
    t.place = stacks.prepare(i, run_thread);
    t.self = {{i % size.x, i / size.x % size.y, i / size.x / size.y}, place, size, grid, i % 32};
    t.number = i;
    t.state = Thread::ready;
    t.copies.clear();
    t.open_group = 0;
  }
  for (unsigned w = 0; w * 32 < count; w++) {
    const unsigned lanes = std::min(32u, count - w * 32);
    warps[w].alive = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps[w].waiting = 0;
    warps[w].epoch = 0;
  }
  renew_records();

  current = this;
  while (alive > 0 && !has_failed) {
    bool has_run = false;
    for (unsigned i = 0; i < count && !has_failed; i++) {
      Thread &t = threads[faults().reversed ? count - 1 - i : i];
      if (t.state != Thread::ready) continue;
      has_run = true;
      running = &t;
      mf_fiber_switch(&scheduler, t.place);
      if (t.state == Thread::returned && !stacks.is_intact(t.number) && !has_failed) {
        launch->fail({CUDA_ERROR_LAUNCH_FAILED, who(t.number) + " " + too_little_stack, 0});
        has_failed = true;
      }
    }
    if (!has_run && !has_failed) {
      launch->fail({CUDA_ERROR_LAUNCH_TIMEOUT, deadlock(), 0});
      has_failed = true;
    }
  }
  running = nullptr;
  current = nullptr;
}

/// Where a thread's stack begins. It never returns: a thread that is through is switched away from for good.
void Block::run_thread() {
  Block &block = *current;
  block.launch->function->kernel->call(block.launch->arguments);
  block.thread_returns();
}

void Block::yield() { mf_fiber_switch(&running->place, scheduler); }

void Block::thread_returns() {
  Thread &t = *running;
  t.state = Thread::returned;
  alive--;
  // Those that wait for a warp need this lane no longer.
  Warp &w = warps[t.number / 32];
  w.alive &= ~(1u << t.self.lane);
  for (unsigned lane = 0; lane < 32; lane++)
    if (w.waiting >> lane & 1) complete(w, threads[t.number / 32 * 32 + lane].mask);
  yield();
  std::abort();
}

void Block::fail(CUresult error, std::string text, size_t code_address) {
  launch->fail({error, who(running->number) + " " + std::move(text), code_address});
  has_failed = true;
  yield();
  std::abort();
}

/// In words: who waits for whom, when nobody can go on.
std::string Block::deadlock() const {
  std::string text = "threads wait for each other for ever: in block (" + std::to_string(threads[0].self.block.x) + ", " +
                     std::to_string(threads[0].self.block.y) + ", " + std::to_string(threads[0].self.block.z) + ")";
  unsigned returned = 0;
  std::vector<std::pair<const mf_cpu_place *, std::vector<unsigned>>> groups;
  for (unsigned i = 0; i < count; i++) {
    const Thread &t = threads[i];
    if (t.state == Thread::returned) {
      returned++;
      continue;
    }
    auto group = std::find_if(groups.begin(), groups.end(), [&](auto &g) { return is_same(*g.first, t.waits_at); });
    if (group == groups.end()) group = groups.insert(groups.end(), {&t.waits_at, {}});
    group->second.push_back(i);
  }
  for (const auto &[place, members] : groups)
    text += " " + std::to_string(members.size()) + " (the first is thread " + std::to_string(members[0]) + ") at " +
            words(*place) + ",";
  return text + " " + std::to_string(returned) + " have returned";
}

// MARK: Waiting

int Block::barrier(bool predicate, const mf_cpu_place &place) {
  if (arrived == 0) {
    barrier_place = place;
    votes = 0;
  } else if (!is_same(barrier_place, place)) {
    fail(CUDA_ERROR_LAUNCH_FAILED, "waits at " + words(place) + ", while other threads of its block wait at " +
                                       words(barrier_place) + ": a divergent barrier");
  }
  votes += predicate;
  if (++arrived < count) {
    running->state = Thread::at_barrier;
    running->waits_at = place;
    yield();
    return result;  // of this barrier: the next needs this thread, too
  }
  arrived = 0;
  result = votes;
  barriers++;
  renew_records();
  for (unsigned i = 0; i < count; i++) threads[i].state = Thread::ready;
  return result;
}

void Block::warp(unsigned mask, mf_cpu_collective all, void *mine, const mf_cpu_place &place) {
  Thread &t = *running;
  if (!(mask >> t.self.lane & 1)) fail(CUDA_ERROR_LAUNCH_FAILED, "is not in its own mask at " + words(place));
  t.mask = mask;
  t.all = all;
  t.mine = mine;
  t.waits_at = place;
  t.state = Thread::in_warp;
  Warp &w = warps[t.number / 32];
  w.waiting |= 1u << t.self.lane;
  if (!complete(w, mask)) yield();
}

/// Does what the lanes of `mask` wait for if all are there.
bool Block::complete(Warp &w, unsigned mask) {
  const unsigned needed = mask & w.alive;
  if (needed == 0 || (needed & ~w.waiting) != 0) return false;
  Thread *lanes = &threads[size_t(&w - warps.data()) * 32];
  const Thread *first = nullptr;
  void *brought[32];
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(needed >> lane & 1)) continue;
    const Thread &t = lanes[lane];
    if (t.mask != mask) return false;  // it waits for others first
    if (first == nullptr) first = &t;
    if (t.all != first->all || std::strcmp(t.waits_at.what, first->waits_at.what) != 0)
      fail(CUDA_ERROR_LAUNCH_FAILED, "or another lane of its warp waits at " + words(t.waits_at) + ", while one waits at " +
                                         words(first->waits_at) + ": lanes of a mask must do the same");
    brought[lane] = t.mine;
  }
  if (first->all != nullptr) first->all(brought, needed);
  else join(w, needed);
  for (unsigned lane = 0; lane < 32; lane++)
    if (needed >> lane & 1) lanes[lane].state = Thread::ready;
  w.waiting &= ~needed;
  return true;
}

}  // namespace driver

// MARK: What kernels call

using driver::Block;

extern "C" {
const mf_cpu_thread *mf_cpu_self(void) { return &Block::current->running->self; }
void *mf_cpu_dynamic_shared(void) { return Block::current->dynamic_shared; }
int mf_cpu_block_barrier(bool predicate, mf_cpu_place place) { return Block::current->barrier(predicate, place); }
void mf_cpu_warp(unsigned mask, mf_cpu_collective all, void *mine, mf_cpu_place place) {
  Block::current->warp(mask, all, mine, place);
}
void mf_cpu_warp_barrier(unsigned mask, mf_cpu_place place) { Block::current->warp(mask, nullptr, nullptr, place); }
unsigned mf_cpu_active_mask(void) { return Block::current->alive_lanes(); }
void mf_cpu_trap(const char *why) {
  Block::current->fail(driver::CUDA_ERROR_ASSERT, std::string("stops: ") + why,
                       reinterpret_cast<size_t>(__builtin_return_address(0)) - 1);
}
}
