#define MF_STORES_BF16
#include "avx512.h"
