// The run-time compiler's stand-in: the same calls and options, clang++ behind them, a shared object as the "cubin".
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "CUDADriver.h"
#include "source.h"
#include "toolchain.h"

namespace fs = std::filesystem;

enum {
  NVRTC_SUCCESS = 0,
  NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
  NVRTC_ERROR_INVALID_INPUT = 3,
  NVRTC_ERROR_INVALID_PROGRAM = 4,
  NVRTC_ERROR_INVALID_OPTION = 5,
  NVRTC_ERROR_COMPILATION = 6,
  NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct _nvrtcProgram {
  std::string source, name, log, image;
  std::vector<std::pair<std::string, std::string>> headers;  // name, text
};

namespace {

using Words = std::vector<std::string>;

std::string read_file(const fs::path &path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_file(const fs::path &path, const std::string &text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Of 64 bits each, two by different starts: for the names of files in a cache.
std::string hash(const std::string &text) {
  char name[40];
  uint64_t a = 0xcbf29ce484222325, b = 0x9e3779b97f4a7c15;
  for (unsigned char c : text) {
    a = (a ^ c) * 0x100000001b3;
    b = (b + c) * 0xd6e8feb86659fd93;
    b ^= b >> 29;
  }
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(a), static_cast<unsigned long long>(b));
  return name;
}

std::string quoted(const std::string &word) {
  std::string text = "'";
  for (char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

/// What the processor can do: modules are compiled for it.
std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.compare(0, 5, "flags") == 0 || line.compare(0, 8, "Features") == 0) return line;
  return "";
}

/// Runs a command in a folder; what it prints goes to `log`. Whether it succeeded.
bool run(const Words &command, const fs::path &folder, std::string &log) {
  std::string line = "cd " + quoted(folder) + " &&";
  for (const std::string &word : command) line += " " + quoted(word);
  FILE *answer = popen((line + " 2>&1").c_str(), "r");
  if (answer == nullptr) {
    log += "the shell cannot be started\n";
    return false;
  }
  char part[4096];
  while (size_t n = fread(part, 1, sizeof part, answer)) log.append(part, n);
  return pclose(answer) == 0;
}

struct Options {
  Words preprocessor;
  std::string architecture = "750", standard = "-std=c++17";
  bool contracts = true;  // --fmad
  std::string unknown;
};

/// NVRTC's options as clang's; what means nothing on a CPU is dropped.
Options read(int count, const char *const *texts) {
  Options options;
  Words words;
  for (int i = 0; i < count; i++) words.push_back(texts[i]);
  for (size_t i = 0; i < words.size(); i++) {
    const std::string &word = words[i];
    const auto is = [&](const char *prefix) { return word.compare(0, std::strlen(prefix), prefix) == 0; };
    const std::string value = word.find('=') == std::string::npos ? "" : word.substr(word.find('=') + 1);
    if (is("-D") || is("-U") || is("-I")) {
      if (word.size() == 2 && i + 1 < words.size()) options.preprocessor.push_back(word + words[++i]);
      else options.preprocessor.push_back(word);
    } else if (is("--define-macro=")) {
      options.preprocessor.push_back("-D" + value);
    } else if (is("--include-path=")) {
      options.preprocessor.push_back("-I" + value);
    } else if (is("--gpu-architecture=") || is("-arch=")) {
      options.architecture.clear();
      for (char c : value)
        if (c >= '0' && c <= '9') options.architecture += c;
      options.architecture += "0";
    } else if (is("--std=") || is("-std=")) {
      options.standard = "-std=" + value;
    } else if (is("--fmad=") || is("-fmad=")) {
      options.contracts = value == "true";
    } else if (is("--ptxas-options") || is("-Xptxas")) {
      if (value.empty()) i++;
    } else if (is("--use_fast_math") || is("-use_fast_math") || is("--generate-line-info") || is("-lineinfo") ||
               is("--device-as-default-execution-space") || is("-default-device") || is("--extra-device-vectorization") ||
               is("--restrict") || is("--maxrregcount") || is("--ftz") || is("--prec-div") || is("--prec-sqrt") ||
               is("--split-compile") || is("--minimal") || is("--no-cache") || is("--diag-suppress") || is("-w")) {
    } else {
      options.unknown = word;
    }
  }
  return options;
}

/// Whether kernels' accesses are checked: MAYFLY_TEST_CUDA_CHECKS=0 makes them several times as fast instead.
bool has_checks() {
  const char *text = std::getenv("MAYFLY_TEST_CUDA_CHECKS");
  return text == nullptr || std::strcmp(text, "0") != 0;
}

fs::path cache_folder() {
  if (const char *folder = std::getenv("MAYFLY_TEST_CUDA_CACHE"); folder != nullptr && *folder != 0) return folder;
  return fs::path(driver::library_folder()) / "cache";
}

/// A folder of this process for one compilation.
fs::path temporary_folder() {
  std::string name = (fs::temp_directory_path() / "mayfly-test-nvrtc-XXXXXX").string();
  return mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
}

bool compile(_nvrtcProgram &program, const Options &options, const fs::path &folder) {
  const std::string &library = driver::library_folder();
  Words preprocess{driver::compiler(), "-E", "-x", "c++", options.standard, "-nostdinc++", "-DMF_ON_CPU=1",
                   "-D__CUDA_ARCH__=" + options.architecture, "-I" + library, "-include", "cuda_on_cpu.h",
                   "-I."};
  preprocess.insert(preprocess.end(), options.preprocessor.begin(), options.preprocessor.end());
  const std::string name = program.name.empty() ? "default_program" : program.name;
  preprocess.insert(preprocess.end(), {name, "-o", "preprocessed.txt"});
  write_file(folder / name, program.source);
  for (const auto &[header, text] : program.headers) write_file(folder / header, text);
  if (!run(preprocess, folder, program.log)) return false;

  write_file(folder / "kernels.cpp", driver::translate(read_file(folder / "preprocessed.txt")));
  Words command{driver::compiler(), "-x", "c++", options.standard, "-nostdinc++", "-O2", "-fPIC", "-shared", "-nostdlib",
                "-fuse-ld=lld", "-gline-tables-only", "-fdebug-compilation-dir=.", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
                "-fno-math-errno", "-Wno-unknown-pragmas", "-Wno-pass-failed",
                options.contracts ? "-ffp-contract=fast" : "-ffp-contract=off",
#if defined(__x86_64__)
                "-march=native",
#else
                "-mcpu=native",
#endif
                "-D__global__=", "-D__shared__=thread_local", "-D__launch_bounds__(...)=", "-Wl,-z,undefs"};
  if (has_checks())
    for (const char *option :
         {"-fsanitize=thread,bounds,alignment", "-fno-sanitize-recover=all", "-fno-vectorize", "-fno-slp-vectorize",
          "-mllvm", "-tsan-instrument-func-entry-exit=0", "-mllvm", "-tsan-instrument-read-before-write=1"})
      command.push_back(option);
  // Under the name that the opened driver has: the kernels call that one.
  command.insert(command.end(), {"kernels.cpp", "-o", "image.so", "-L" + library, "-l:libcuda.so.1"});
  if (!run(command, folder, program.log)) return false;
  program.image = read_file(folder / "image.so");
  return true;
}

}  // namespace

extern "C" {

int nvrtcVersion(int *major, int *minor) {
  *major = 13;
  *minor = 0;
  return NVRTC_SUCCESS;
}

int nvrtcCreateProgram(nvrtcProgram *program, const char *source, const char *name, int header_count,
                       const char *const *headers, const char *const *header_names) {
  if (program == nullptr || source == nullptr || header_count < 0) return NVRTC_ERROR_INVALID_INPUT;
  auto *made = new _nvrtcProgram;
  made->source = source;
  made->name = name == nullptr ? "" : name;
  for (int i = 0; i < header_count; i++) made->headers.push_back({header_names[i], headers[i]});
  *program = made;
  return NVRTC_SUCCESS;
}

int nvrtcCompileProgram(nvrtcProgram program, int option_count, const char *const *texts) {
  if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  program->log.clear();
  program->image.clear();
  const Options options = read(option_count, texts);
  if (!options.unknown.empty()) {
    program->log = "nvrtc: error: unrecognized option " + options.unknown + "\n";
    return NVRTC_ERROR_INVALID_OPTION;
  }

  // All that the result depends on.
  const std::string &library = driver::library_folder();
  std::string key = processor() + driver::compiler() + (has_checks() ? "\1" : "\2") + program->source + "\1" + program->name;
  struct stat compiler_file{}, self{};
  stat(driver::compiler().c_str(), &compiler_file);
  stat((library + "/libnvrtc.so.13").c_str(), &self);
  key += std::to_string(compiler_file.st_mtime) + " " + std::to_string(self.st_mtim.tv_sec) + "." +
         std::to_string(self.st_mtim.tv_nsec);
  for (const auto &[name, text] : program->headers) key += "\1" + name + "\1" + text;
  for (int i = 0; i < option_count; i++) key += std::string("\1") + texts[i];
  for (const char *header : {"cuda_on_cpu.h", "ptx_on_cpu.h", "kernel_interface.h"}) key += read_file(library + "/" + header);
  const fs::path cached = cache_folder() / (hash(key) + ".so");
  program->image = read_file(cached);
  if (!program->image.empty()) return NVRTC_SUCCESS;

  try {
    const fs::path folder = temporary_folder();
    const bool is_compiled = compile(*program, options, folder);
    fs::remove_all(folder);
    if (!is_compiled) return NVRTC_ERROR_COMPILATION;
    // Whole or not there, also when two programs compile the same at once.
    const fs::path part = cached.string() + "." + std::to_string(getpid());
    write_file(part, program->image);
    fs::rename(part, cached);
  } catch (const fs::filesystem_error &error) {
    program->log += std::string(error.what()) + "\n";
    if (program->image.empty()) return NVRTC_ERROR_INTERNAL_ERROR;
  }
  return NVRTC_SUCCESS;
}

int nvrtcGetProgramLogSize(nvrtcProgram program, size_t *bytes) {
  if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  *bytes = program->log.size() + 1;
  return NVRTC_SUCCESS;
}

int nvrtcGetProgramLog(nvrtcProgram program, char *log) {
  if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  std::memcpy(log, program->log.c_str(), program->log.size() + 1);
  return NVRTC_SUCCESS;
}

int nvrtcGetCUBINSize(nvrtcProgram program, size_t *bytes) {
  if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  *bytes = program->image.size();
  return NVRTC_SUCCESS;
}

int nvrtcGetCUBIN(nvrtcProgram program, char *image) {
  if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  std::memcpy(image, program->image.data(), program->image.size());
  return NVRTC_SUCCESS;
}

int nvrtcDestroyProgram(nvrtcProgram *program) {
  if (program == nullptr || *program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
  delete *program;
  *program = nullptr;
  return NVRTC_SUCCESS;
}
}
