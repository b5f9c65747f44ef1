// A module: a shared object made by the compiler stand-in, opened.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CUDADriver.h"
#include "kernel_interface.h"

/// A kernel of a module, and what the host set for it.
struct CUfunc_st {
  CUmod_st *module;
  std::string name;
  const mf_cpu_kernel *kernel;
  size_t most_dynamic_shared = 48 << 10;
};

struct CUmod_st {
  struct Variable {
    std::string name;
    size_t offset, bytes;
  };
  struct Segment {
    size_t address, bytes;
    bool is_writable;
  };

  int file = -1;  // keeps the image readable while the module is open: reports look lines up in it
  void *handle = nullptr;
  size_t load_address = 0;
  size_t thread_local_number = 0, static_shared_bytes = 0;  // __shared__ variables are the module's thread-locals
  std::vector<Variable> shared_variables;
  std::vector<Segment> segments;
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;

  /// Null, with the reason on stderr, if the image cannot be opened.
  static std::unique_ptr<CUmod_st> open(const void *image);
  ~CUmod_st();

  CUfunc_st *function(const std::string &name);
  /// Where the calling thread has the static shared memory; null if there is none.
  char *static_shared() const;
  /// "name (file:line)" of the code at an address, one line for each function that was inlined there.
  std::string lines(size_t code_address) const;
};
