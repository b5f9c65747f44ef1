// Runs each case in a process of its own, as an error ends a device's context for good.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "host.h"

mf_cuda cuda;
mf_nvrtc nvrtc;
mf_cublaslt cublaslt;
CUstream stream;

static std::string folder;

static std::vector<Case> &cases() {
  static std::vector<Case> all;
  return all;
}

Register::Register(Case c) { cases().push_back(std::move(c)); }

void fail_test(const char *file, int line, const std::string &text) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
  std::fflush(stderr);
  _exit(1);
}

void *open_library(const char *name) {
  void *library = dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail_test(__FILE__, __LINE__, dlerror());
  return library;
}

void open_device() {
  EXPECT(mf_cuda_load(open_library("libcuda.so.1"), &cuda) == nullptr);
  EXPECT(mf_nvrtc_load(open_library("libnvrtc.so.13"), &nvrtc) == nullptr);
  EXPECT(mf_cublaslt_load(open_library("libcublasLt.so.13"), &cublaslt) == nullptr);
  CUdevice device;
  CUcontext context;
  OK(cuda.cuInit(0));
  OK(cuda.cuDeviceGet(&device, 0));
  OK(cuda.cuDevicePrimaryCtxRetain(&context, device));
  OK(cuda.cuCtxSetCurrent(context));
  OK(cuda.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
}

static std::string log_of(nvrtcProgram program) {
  size_t bytes = 0;
  OK(nvrtc.nvrtcGetProgramLogSize(program, &bytes));
  std::string log(bytes, '\0');
  OK(nvrtc.nvrtcGetProgramLog(program, log.data()));
  return log.c_str();
}

static int compile_program(nvrtcProgram *program, const std::string &text, const std::vector<std::string> &options,
                           const std::vector<std::pair<std::string, std::string>> &headers) {
  std::vector<const char *> names, texts, words;
  for (const auto &[name, header] : headers) names.push_back(name.c_str()), texts.push_back(header.c_str());
  for (const std::string &option : options) words.push_back(option.c_str());
  OK(nvrtc.nvrtcCreateProgram(program, text.c_str(), "test.cu", int(headers.size()), texts.data(), names.data()));
  return nvrtc.nvrtcCompileProgram(*program, int(words.size()), words.data());
}

CUmodule compile(const std::string &text, const std::vector<std::string> &options,
                 const std::vector<std::pair<std::string, std::string>> &headers) {
  nvrtcProgram program;
  if (const int error = compile_program(&program, text, options, headers); error != 0)
    fail_test(__FILE__, __LINE__, "compiling gave " + std::to_string(error) + ":\n" + log_of(program));
  size_t bytes = 0;
  OK(nvrtc.nvrtcGetCUBINSize(program, &bytes));
  std::vector<char> image(bytes);
  OK(nvrtc.nvrtcGetCUBIN(program, image.data()));
  OK(nvrtc.nvrtcDestroyProgram(&program));
  CUmodule module;
  OK(cuda.cuModuleLoadData(&module, image.data()));
  return module;
}

std::string log_of_failure(const std::string &text, const std::vector<std::string> &options, int error) {
  nvrtcProgram program;
  EXPECT_EQUAL(compile_program(&program, text, options, {}), error);
  const std::string log = log_of(program);
  OK(nvrtc.nvrtcDestroyProgram(&program));
  return log;
}

CUfunction function(CUmodule module, const char *name) {
  CUfunction f;
  OK(cuda.cuModuleGetFunction(&f, module, name));
  return f;
}

/// Runs a case in a child. What it printed is `output`; returns its exit status.
static int run_case(const Case &c, std::string &output) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 2);
    close(ends[0]), close(ends[1]);
    for (const auto &[name, value] : c.environment) setenv(name.c_str(), value.c_str(), 1);
    alarm(120);
    c.run();
    std::fflush(stderr);
    _exit(0);
  }
  close(ends[1]);
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) output.append(part, size_t(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

/// driver_test FOLDER [part of a name]
int main(int count, char **words) {
  if (count < 2) return 64;
  folder = words[1];
  int failed = 0, run = 0;
  for (const Case &c : cases()) {
    if (count > 2 && c.name.find(words[2]) == std::string::npos) continue;
    run++;
    std::string output;
    const int status = run_case(c, output);
    const bool is_reported = c.reported.empty() ? output.empty() : output.find(c.reported) != std::string::npos;
    if (status == 0 && is_reported) continue;
    failed++;
    std::printf("FAILED %s: exit status %d, signal %d\n%s", c.name.c_str(), WEXITSTATUS(status), WTERMSIG(status),
                output.c_str());
    if (!is_reported && !c.reported.empty()) std::printf("should have reported: %s\n", c.reported.c_str());
  }
  std::printf("CUDA driver for tests: %d of %d cases pass\n", run - failed, run);
  return failed == 0 && run > 0 ? 0 : 1;
}
