// What cuBLASLt's stand-in needs of the driver beside streams and memory.
#pragma once

#include "CUDADriver.h"

namespace driver {

/// Counts a launch, of a kernel or a product: gives the fault that a test asked for (faults.h), else success. Called
/// when it runs, not when it is queued.
CUresult begin_launch();

}  // namespace driver
