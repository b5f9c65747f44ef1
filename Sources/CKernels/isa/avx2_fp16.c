#define MF_STORES_FP16
#include "avx2.h"
