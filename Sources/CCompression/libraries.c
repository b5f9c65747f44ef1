#include "libraries.h"

#include <dlfcn.h>
#include <pthread.h>

#include "CCompression.h"

// Library names: of Linux first, then of macOS, where Homebrew puts them beside the system's.
static const struct {
  const char *linux_name, *mac_name, *package;
} names[] = {
    [MF_CODEC_GZIP] = {"libz.so.1", "libz.1.dylib", "zlib1g"},
    [MF_CODEC_DEFLATE] = {"libz.so.1", "libz.1.dylib", "zlib1g"},
    [MF_CODEC_ZSTD] = {"libzstd.so.1", "libzstd.1.dylib", "libzstd1"},
    [MF_CODEC_XZ] = {"liblzma.so.5", "liblzma.5.dylib", "liblzma5"},
    [MF_CODEC_SNAPPY] = {"libsnappy.so.1", "libsnappy.1.dylib", "libsnappy1v5"},
    [MF_CODEC_LZ4] = {"liblz4.so.1", "liblz4.1.dylib", "liblz4-1"},
    [MF_CODEC_BROTLI] = {"libbrotlidec.so.1", "libbrotlidec.1.dylib", "libbrotli1"},
};

#ifdef __APPLE__
const char *mf_codec_library(mf_codec codec) { return names[codec].mac_name; }
#else
const char *mf_codec_library(mf_codec codec) { return names[codec].linux_name; }
#endif
const char *mf_codec_package(mf_codec codec) { return names[codec].package; }

// dlsym gives a void pointer for a function, which ISO C doesn't convert: POSIX does.
#define LOAD(result, name, parameters)                                                                             \
  *(void **)&table.name = dlsym(library, #name);                                                                   \
  if (table.name == NULL) return;

// A library stays open once it is: its functions may be in use until the process ends.
#define LIBRARY(lower, UPPER, codec)                                                                               \
  static mf_##lower lower##_table;                                                                                 \
  static const mf_##lower *lower##_opened;                                                                         \
  static void open_##lower(void) {                                                                                 \
    void *library = dlopen(mf_codec_library(codec), RTLD_NOW | RTLD_LOCAL);                                        \
    if (library == NULL) return;                                                                                   \
    mf_##lower table;                                                                                              \
    MF_##UPPER##_FUNCTIONS(LOAD)                                                                                   \
    lower##_table = table;                                                                                         \
    lower##_opened = &lower##_table;                                                                               \
  }                                                                                                                \
  const mf_##lower *mf_##lower##_library(void) {                                                                   \
    static pthread_once_t once = PTHREAD_ONCE_INIT;                                                                \
    pthread_once(&once, open_##lower);                                                                             \
    return lower##_opened;                                                                                         \
  }

LIBRARY(zlib, ZLIB, MF_CODEC_GZIP)
LIBRARY(zstd, ZSTD, MF_CODEC_ZSTD)
LIBRARY(lzma, LZMA, MF_CODEC_XZ)
LIBRARY(snappy, SNAPPY, MF_CODEC_SNAPPY)
LIBRARY(lz4, LZ4, MF_CODEC_LZ4)
LIBRARY(brotli, BROTLI, MF_CODEC_BROTLI)

int mf_codec_opens(mf_codec codec) {
  switch (codec) {
  case MF_CODEC_GZIP:
  case MF_CODEC_DEFLATE: return mf_zlib_library() != NULL;
  case MF_CODEC_ZSTD: return mf_zstd_library() != NULL;
  case MF_CODEC_XZ: return mf_lzma_library() != NULL;
  case MF_CODEC_SNAPPY: return mf_snappy_library() != NULL;
  case MF_CODEC_LZ4: return mf_lz4_library() != NULL;
  case MF_CODEC_BROTLI: return mf_brotli_library() != NULL;
  }
  return 0;
}
