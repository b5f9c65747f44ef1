#define MF_STORES_FP16
#include "avx512.h"
