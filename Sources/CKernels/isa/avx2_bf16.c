#define MF_STORES_BF16
#include "avx2.h"
