// What the compiler stand-in reads and changes in a kernel text after the preprocessor has run.
#pragma once

#include <string>

namespace driver {

/// Makes preprocessed CUDA C++ into C++: dynamic shared memory (`extern __shared__ T name[]`) gets its address, and a
/// line that registers it is added for each kernel. Lines keep their numbers.
std::string translate(const std::string &preprocessed);

}  // namespace driver
