#include "neon.h"
