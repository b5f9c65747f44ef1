#define MF_STORES_BF16
#include "avx512bf16.h"
