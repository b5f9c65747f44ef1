#define MF_STORES_FP16
#include "neon.h"
