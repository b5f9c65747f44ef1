// Streams, events and graphs. Work runs as late as it may: only when somebody waits for it. So whoever forgets to wait
// finds old values, each time.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "CUDADriver.h"

namespace driver {

/// One piece of work; returns an error number, or `never_done`: then it is tried again by the next that waits.
using Work = std::function<CUresult()>;
constexpr CUresult never_done = -1;

struct Capture;

/// What cuEventRecord put into a stream.
struct Record {
  CUstream_st *stream = nullptr;
  std::shared_ptr<Capture> capture;  // of work that is being captured, not run
  bool is_done = false;
  bool was_asked = false;  // by cuEventQuery
  std::chrono::steady_clock::time_point time;
};

/// Work that is written down for a graph instead of being queued, from all streams that take part, in order of the calls.
struct Capture {
  CUstream_st *origin = nullptr;
  std::vector<Work> work;
  std::set<CUstream_st *> streams;   // that take part
  std::set<CUstream_st *> unjoined;  // with work that the origin does not wait for yet
  bool is_valid = true;
};

/// The lock under which every call works, kernels included.
std::recursive_mutex &lock();

/// What ended the context; every later call gives it.
extern CUresult context_error;

/// Queues work, or captures it.
CUresult enqueue(CUstream_st *stream, Work work);
/// Runs what is queued, in order: until the record is done; all of a stream; all. Returns an error number, or
/// `never_done` where a launch hangs (faults.h).
CUresult finish(const std::shared_ptr<Record> &record);
CUresult finish(CUstream_st *stream);
CUresult finish_all();
/// For calls that return only when work is done: does not return if that is never.
CUresult wait(CUresult finished);
/// The stream itself, or the default one for null; null if there is no such stream.
CUstream_st *existing(CUstream stream);
/// Whether a thread's call that waits would break a capture that it has begun.
bool is_capturing();

}  // namespace driver

struct CUstream_st {
  std::deque<driver::Work> queue;
  std::shared_ptr<driver::Capture> capture;
};

struct CUevent_st {
  std::shared_ptr<driver::Record> record;
  bool has_timing;
};

struct CUgraph_st {
  std::vector<driver::Work> work;
};

struct CUgraphExec_st {
  std::shared_ptr<const std::vector<driver::Work>> work;
};
