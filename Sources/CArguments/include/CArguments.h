#pragma once

/// The words of the command line as the C library hands them to the process, up to a null pointer; null where it
/// doesn't. Swift looks for them in /proc, which a bare chroot doesn't have.
char *const *process_arguments(void);
