#define MF_STORES_BF16
#include "plain.h"
