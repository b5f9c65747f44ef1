#include "toolchain.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

namespace driver {

namespace {

std::string folder(const std::string &path) { return path.substr(0, path.rfind('/')); }

bool is_program(const std::string &path) { return access(path.c_str(), X_OK) == 0; }

/// The file behind a name on the PATH, with links followed; empty if there is none.
std::string on_path(const std::string &name) {
  const char *path = std::getenv("PATH");
  std::string folders = path == nullptr ? "" : path;
  for (size_t start = 0; start <= folders.size();) {
    const size_t end = std::min(folders.find(':', start), folders.size());
    const std::string file = folders.substr(start, end - start) + "/" + name;
    start = end + 1;
    if (!is_program(file)) continue;
    char *real = realpath(file.c_str(), nullptr);
    const std::string result = real == nullptr ? file : real;
    std::free(real);
    return result;
  }
  return "";
}

std::string find_compiler() {
  if (const char *given = std::getenv("MAYFLY_CLANG"); given != nullptr && *given != 0) return given;
  if (const std::string swift = on_path("swift"); !swift.empty())
    if (const std::string clang = folder(swift) + "/clang++"; is_program(clang)) return clang;
  return "clang++";
}

std::string find_symbolizer() {
  if (compiler().find('/') != std::string::npos)
    if (const std::string tool = folder(compiler()) + "/llvm-symbolizer"; is_program(tool)) return tool;
  return "llvm-symbolizer";
}

std::string find_library_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(&find_library_folder), &info) == 0) return ".";
  char *real = realpath(info.dli_fname, nullptr);
  const std::string path = real == nullptr ? info.dli_fname : real;
  std::free(real);
  return folder(path);
}

}  // namespace

const std::string &compiler() {
  static const std::string path = find_compiler();
  return path;
}

const std::string &symbolizer() {
  static const std::string path = find_symbolizer();
  return path;
}

const std::string &library_folder() {
  static const std::string path = find_library_folder();
  return path;
}

std::string unmangled(const char *symbol) {
  int status = 0;
  char *text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  const std::string name = status == 0 && text != nullptr ? text : symbol;
  std::free(text);
  return name;
}

}  // namespace driver
