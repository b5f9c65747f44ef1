// Planted bugs: each must end the launch with an error and a report that says what and where.
#include "host.h"

static const char *line_numbers = R"(extern "C" __global__ void reads(float *x, float *y, int i) {
  y[threadIdx.x] = 1.0f +
      x[int(threadIdx.x) + i];
})";

static void out_of_bounds(int by, int expected = 700) {
  open_device();
  CUfunction f = function(compile(line_numbers), "reads");
  CUdeviceptr x = upload(std::vector<float>(64)), y = upload(std::vector<float>(64));
  OK(launch(f, 1, 64, 0, x, y, 0));
  EXPECT_EQUAL(launch(f, 1, 64, 0, x, y, by), expected);
  // The context is lost.
  CUdeviceptr more;
  EXPECT_EQUAL(cuda.cuMemAlloc_v2(&more, 4), expected);
  EXPECT_EQUAL(cuda.cuCtxSynchronize(), expected);
}

TEST(a_read_past_the_end, "kernel reads: block (0, 0, 0), thread (63, 0, 0) reads 4 bytes") { out_of_bounds(1); }
TEST(a_read_past_the_end_to_the_byte, "0 bytes past the end of an allocation of 256 bytes") { out_of_bounds(1); }
TEST(a_read_past_the_end_to_the_line, "test.cu:3") { out_of_bounds(1); }
TEST(a_read_before_the_start, "4 bytes before an allocation of 256 bytes") { out_of_bounds(-1); }
TEST(a_read_far_away, "far from every allocation") { out_of_bounds(1 << 30); }
