#include "avx2.h"
