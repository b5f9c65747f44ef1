#define MF_STORES_FP16
#include "plain.h"
