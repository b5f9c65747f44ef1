// Where the compiler and its tools are.
#pragma once

#include <string>

namespace driver {

/// clang++: MAYFLY_CLANG, else the one beside `swift`, else whichever is on the PATH.
const std::string &compiler();

/// llvm-symbolizer beside the compiler, else whichever is on the PATH.
const std::string &symbolizer();

/// The folder of this library.
const std::string &library_folder();

/// A C++ symbol's name as written in the source.
std::string unmangled(const char *symbol);

}  // namespace driver
