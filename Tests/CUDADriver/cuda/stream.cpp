#include "stream.h"

#include <thread>

#include "faults.h"

namespace driver {

CUresult context_error = CUDA_SUCCESS;

namespace {

std::set<CUstream_st *> &streams() {
  static auto *streams = new std::set<CUstream_st *>;
  return *streams;
}

std::set<CUevent_st *> &events() {
  static auto *events = new std::set<CUevent_st *>;
  return *events;
}

CUstream_st *default_stream() {
  static CUstream_st *stream = [] {
    auto *s = new CUstream_st;
    streams().insert(s);
    return s;
  }();
  return stream;
}

thread_local int captures_begun = 0;

CUresult run_first(CUstream_st *stream) {
  if (context_error == CUDA_SUCCESS) {
    const CUresult error = stream->queue.front()();
    if (error == never_done) return never_done;
    if (error != CUDA_SUCCESS) context_error = error;
  }
  stream->queue.pop_front();
  return context_error;
}

CUevent_st *existing(CUevent event) { return events().contains(event) ? event : nullptr; }

}  // namespace

std::recursive_mutex &lock() {
  static auto *mutex = new std::recursive_mutex;
  return *mutex;
}

CUstream_st *existing(CUstream stream) {
  if (stream == nullptr) return default_stream();
  return streams().contains(stream) ? stream : nullptr;
}

bool is_capturing() { return captures_begun > 0; }

CUresult enqueue(CUstream_st *stream, Work work) {
  if (stream->capture != nullptr) {
    if (!stream->capture->is_valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    stream->capture->work.push_back(std::move(work));
    if (stream != stream->capture->origin) stream->capture->unjoined.insert(stream);
  } else {
    stream->queue.push_back(std::move(work));
  }
  return CUDA_SUCCESS;
}

CUresult finish(const std::shared_ptr<Record> &record) {
  while (record != nullptr && !record->is_done && context_error == CUDA_SUCCESS && !record->stream->queue.empty())
    if (run_first(record->stream) == never_done) return never_done;
  return context_error;
}

CUresult finish(CUstream_st *stream) {
  while (!stream->queue.empty())
    if (run_first(stream) == never_done) return never_done;
  return context_error;
}

CUresult finish_all() {
  for (CUstream_st *stream : streams())
    if (finish(stream) == never_done) return never_done;
  return context_error;
}

CUresult wait(CUresult finished) {
  if (finished != never_done) return finished;
  // Other threads go on: they may notice.
  lock().unlock();
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace driver

using namespace driver;

// Every call that works with the device begins like this.
#define BEGIN                         \
  std::lock_guard guard(lock());      \
  if (context_error != CUDA_SUCCESS) return context_error

/// A wait inside of a capture: it can't be, and ends the capture.
#define NOT_WHILE_CAPTURING(stream)                                      \
  if ((stream)->capture != nullptr) {                                    \
    (stream)->capture->is_valid = false;                                 \
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;                        \
  }

extern "C" {

// MARK: Streams

int cuStreamCreate(CUstream *stream, unsigned) {
  BEGIN;
  *stream = new CUstream_st;
  streams().insert(*stream);
  return CUDA_SUCCESS;
}

int cuStreamDestroy_v2(CUstream stream) {
  std::lock_guard guard(lock());
  if (stream == nullptr || existing(stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const CUresult error = wait(finish(stream));
  streams().erase(stream);
  delete stream;
  return error;
}

int cuStreamSynchronize(CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  NOT_WHILE_CAPTURING(stream);
  return wait(finish(stream));
}

int cuCtxSynchronize(void) {
  BEGIN;
  if (is_capturing()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return wait(finish_all());
}

// MARK: Events

int cuEventCreate(CUevent *event, unsigned flags) {
  BEGIN;
  *event = new CUevent_st{nullptr, (flags & CU_EVENT_DISABLE_TIMING) == 0};
  events().insert(*event);
  return CUDA_SUCCESS;
}

int cuEventDestroy_v2(CUevent event) {
  std::lock_guard guard(lock());
  if (events().erase(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
  delete event;
  return context_error;
}

int cuEventRecord(CUevent event, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr || existing(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  auto record = std::make_shared<Record>();
  record->stream = stream;
  record->capture = stream->capture;
  event->record = record;
  if (stream->capture != nullptr) return CUDA_SUCCESS;
  return enqueue(stream, [record] {
    record->is_done = true;
    record->time = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
  });
}

int cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr || existing(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const std::shared_ptr<Record> record = event->record;
  if (record == nullptr) return CUDA_SUCCESS;
  if (record->capture != nullptr) {
    // Work captured from here on stands behind what is captured already.
    if (stream->capture == nullptr) {
      stream->capture = record->capture;
      record->capture->streams.insert(stream);
      record->capture->unjoined.insert(stream);
    } else if (stream->capture != record->capture) {
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (record->stream != stream) record->capture->unjoined.erase(record->stream);
    return CUDA_SUCCESS;
  }
  return enqueue(stream, [record] { return finish(record); });
}

int cuEventQuery(CUevent event) {
  BEGIN;
  if (existing(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const std::shared_ptr<Record> record = event->record;
  if (record == nullptr || record->is_done) return CUDA_SUCCESS;
  if (record->capture != nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  // The first time it is never done: whoever asks must be ready for that.
  if (!record->was_asked) {
    record->was_asked = true;
    return CUDA_ERROR_NOT_READY;
  }
  const CUresult error = finish(record);
  return error == never_done ? CUDA_ERROR_NOT_READY : error;
}

int cuEventSynchronize(CUevent event) {
  BEGIN;
  if (existing(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->record != nullptr && event->record->capture != nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return wait(finish(event->record));
}

int cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  BEGIN;
  if (existing(from) == nullptr || existing(to) == nullptr || !from->has_timing || !to->has_timing ||
      from->record == nullptr || to->record == nullptr)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!from->record->is_done || !to->record->is_done) return CUDA_ERROR_NOT_READY;
  *milliseconds = std::chrono::duration<float, std::milli>(to->record->time - from->record->time).count();
  return CUDA_SUCCESS;
}

// MARK: Graphs

int cuStreamBeginCapture_v2(CUstream handle, int) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  // The default stream cannot be captured.
  if (stream == nullptr || handle == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->streams = {stream};
  captures_begun++;
  return CUDA_SUCCESS;
}

int cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  BEGIN;
  *graph = nullptr;
  CUstream_st *stream = existing(handle);
  if (stream == nullptr || stream->capture == nullptr || stream->capture->origin != stream)
    return CUDA_ERROR_INVALID_HANDLE;
  const std::shared_ptr<Capture> capture = stream->capture;
  captures_begun--;
  for (CUstream_st *member : capture->streams)
    if (streams().contains(member)) member->capture = nullptr;
  if (!capture->is_valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!capture->unjoined.empty()) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  *graph = new CUgraph_st{std::move(capture->work)};
  return CUDA_SUCCESS;
}

int cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, uint64_t) {
  BEGIN;
  if (graph == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  *executable = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->work)};
  return CUDA_SUCCESS;
}

int cuGraphLaunch(CUgraphExec executable, CUstream handle) {
  BEGIN;
  CUstream_st *stream = existing(handle);
  if (executable == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  NOT_WHILE_CAPTURING(stream);
  return enqueue(stream, [work = executable->work] {
    for (const Work &piece : *work)
      if (const CUresult error = piece(); error != CUDA_SUCCESS) return error;
    return CUresult(CUDA_SUCCESS);
  });
}

int cuGraphExecDestroy(CUgraphExec executable) {
  std::lock_guard guard(lock());
  delete executable;
  return context_error;
}

int cuGraphDestroy(CUgraph graph) {
  std::lock_guard guard(lock());
  delete graph;
  return context_error;
}
}
