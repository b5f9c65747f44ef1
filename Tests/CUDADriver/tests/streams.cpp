// Streams, events and graphs: in order, and no sooner than somebody waits.
#include <cstring>

#include "host.h"

static const char *steps = R"(
  extern "C" __global__ void add(float *x, float by) { x[threadIdx.x] += by; }
  extern "C" __global__ void twice(float *x, const float *y) { x[threadIdx.x] = 2 * y[threadIdx.x]; }
)";

static float *pinned(size_t count) {
  void *p;
  OK(cuda.cuMemAllocHost_v2(&p, count * sizeof(float)));
  return static_cast<float *>(p);
}

template <typename... Arguments>
static void queue(CUfunction f, CUstream on, Arguments... arguments) {
  void *places[] = {&arguments...};
  OK(cuda.cuLaunchKernel(f, 1, 1, 1, 8, 1, 1, 0, on, places, nullptr));
}

TEST(pinned_memory_is_read_and_written_when_somebody_waits) {
  open_device();
  CUdeviceptr x = upload(std::vector<float>(8, 1));
  float *in = pinned(8), *out = pinned(8);
  for (int i = 0; i < 8; i++) in[i] = 1, out[i] = 0;
  OK(cuda.cuMemcpyHtoDAsync_v2(x, in, 32, stream));
  in[0] = 5;  // too early: the copy takes it
  OK(cuda.cuMemcpyDtoHAsync_v2(out, x, 32, stream));
  EXPECT_EQUAL(out[1], 0.0f);
  OK(cuda.cuStreamSynchronize(stream));
  EXPECT_EQUAL(out[0], 5.0f);
  EXPECT_EQUAL(out[1], 1.0f);
  OK(cuda.cuMemFreeHost(in));
}

TEST(pageable_memory_is_read_before_the_call_returns) {
  open_device();
  std::vector<float> in(8, 3);
  CUdeviceptr x = upload(in);
  in.assign(8, 4);
  EXPECT_EQUAL(download<float>(x, 8)[7], 3.0f);
}

TEST(a_stream_waits_for_another_only_by_an_event) {
  open_device();
  CUmodule module = compile(steps);
  CUstream other;
  OK(cuda.cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  CUevent event;
  OK(cuda.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  for (bool waits : {false, true}) {
    CUdeviceptr x = upload(std::vector<float>(8, 1)), y = upload(std::vector<float>(8, 0));
    OK(cuda.cuStreamSynchronize(stream));
    queue(function(module, "add"), other, x, 2.0f);
    OK(cuda.cuEventRecord(event, other));
    if (waits) OK(cuda.cuStreamWaitEvent(stream, event, 0));
    queue(function(module, "twice"), stream, y, x);
    EXPECT_EQUAL(download<float>(y, 8)[3], waits ? 6.0f : 2.0f);
    OK(cuda.cuCtxSynchronize());
    EXPECT_EQUAL(download<float>(x, 8)[3], 3.0f);
  }
}

TEST(an_event_is_done_when_what_stands_before_it_is) {
  open_device();
  CUmodule module = compile(steps);
  CUdeviceptr x = upload(std::vector<float>(8, 1));
  CUevent first, second;
  OK(cuda.cuEventCreate(&first, CU_EVENT_DEFAULT));
  OK(cuda.cuEventCreate(&second, CU_EVENT_DEFAULT));
  OK(cuda.cuEventQuery(first));
  OK(cuda.cuEventRecord(first, stream));
  queue(function(module, "add"), stream, x, 2.0f);
  OK(cuda.cuEventRecord(second, stream));
  EXPECT_EQUAL(cuda.cuEventQuery(second), 600);
  OK(cuda.cuEventQuery(second));
  OK(cuda.cuEventSynchronize(second));
  float milliseconds = -1;
  OK(cuda.cuEventElapsedTime(&milliseconds, first, second));
  EXPECT(milliseconds >= 0);
  OK(cuda.cuEventDestroy_v2(first));
  EXPECT_EQUAL(cuda.cuEventDestroy_v2(first), 400);
}

TEST(a_graph_replays_what_two_streams_did_with_arguments_of_then) {
  open_device();
  CUmodule module = compile(steps);
  CUdeviceptr x = upload(std::vector<float>(8, 1)), y = upload(std::vector<float>(8, 0));
  OK(cuda.cuStreamSynchronize(stream));
  CUstream other;
  OK(cuda.cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  CUevent fork, join;
  OK(cuda.cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
  OK(cuda.cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
  OK(cuda.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  {
    float by = 1;
    void *places[] = {&x, &by};
    OK(cuda.cuLaunchKernel(function(module, "add"), 1, 1, 1, 8, 1, 1, 0, stream, places, nullptr));
    by = 100;
  }
  OK(cuda.cuEventRecord(fork, stream));
  OK(cuda.cuStreamWaitEvent(other, fork, 0));
  queue(function(module, "twice"), other, y, x);
  OK(cuda.cuEventRecord(join, other));
  OK(cuda.cuStreamWaitEvent(stream, join, 0));
  OK(cuda.cuMemsetD8Async(x, 0, 4, stream));
  CUgraph graph;
  OK(cuda.cuStreamEndCapture(stream, &graph));
  CUgraphExec executable;
  OK(cuda.cuGraphInstantiateWithFlags(&executable, graph, 0));
  OK(cuda.cuGraphDestroy(graph));
  EXPECT_EQUAL(download<float>(x, 8)[7], 1.0f);
  for (int i = 0; i < 3; i++) OK(cuda.cuGraphLaunch(executable, stream));
  EXPECT_EQUAL(download<float>(y, 8)[7], 8.0f);
  EXPECT_EQUAL(download<float>(y, 8)[0], 2.0f);
  EXPECT_EQUAL(download<float>(x, 8)[0], 0.0f);
  OK(cuda.cuGraphExecDestroy(executable));
}

TEST(a_capture_that_waits_or_is_not_joined_fails) {
  open_device();
  CUdeviceptr x = upload(std::vector<float>(8, 1));
  OK(cuda.cuStreamSynchronize(stream));
  CUgraph graph;
  OK(cuda.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_EQUAL(cuda.cuStreamSynchronize(stream), 900);
  EXPECT_EQUAL(cuda.cuStreamEndCapture(stream, &graph), 901);

  CUstream other;
  CUevent fork;
  OK(cuda.cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  OK(cuda.cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
  OK(cuda.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  CUdeviceptr more;
  EXPECT_EQUAL(cuda.cuMemAlloc_v2(&more, 4), 900);
  OK(cuda.cuEventRecord(fork, stream));
  OK(cuda.cuStreamWaitEvent(other, fork, 0));
  OK(cuda.cuMemsetD8Async(x, 0, 32, other));
  EXPECT_EQUAL(cuda.cuStreamEndCapture(stream, &graph), 904);
  EXPECT_EQUAL(download<float>(x, 8)[0], 1.0f);
}

TEST(copies_stay_inside_of_an_allocation, "cuMemcpyDtoHAsync: 36 bytes at byte 0 of an allocation of 32 bytes") {
  open_device();
  CUdeviceptr x = upload(std::vector<float>(8, 1));
  float y[9];
  EXPECT_EQUAL(cuda.cuMemcpyDtoHAsync_v2(y, x, 36, stream), 1);
}
