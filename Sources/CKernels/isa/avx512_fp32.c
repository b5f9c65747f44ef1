#include "avx512.h"
