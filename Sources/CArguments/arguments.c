#include "CArguments.h"

#include <stdlib.h>

static char *const *arguments = NULL;

char *const *process_arguments(void) { return arguments; }

// Not every C library gives its constructors what main gets.
#if defined(__GLIBC__) || defined(__APPLE__)
__attribute__((constructor)) static void keep_arguments(int count, char **words) {
  (void)count;
  arguments = words;
}
#endif
