#pragma once

// The few functions and records of each library that are used, declared here so that nothing need be installed where the
// program is built. They are part of the libraries' stable interfaces.

#include <stddef.h>
#include <stdint.h>

// zlib.h

typedef struct {
  const uint8_t *next_in;
  unsigned avail_in;
  unsigned long total_in;
  uint8_t *next_out;
  unsigned avail_out;
  unsigned long total_out;
  const char *msg;
  void *state, *zalloc, *zfree, *opaque;
  int data_type;
  unsigned long adler, reserved;
} mf_z_stream;

enum { MF_Z_OK = 0, MF_Z_STREAM_END = 1, MF_Z_MEM_ERROR = -4, MF_Z_BUF_ERROR = -5 };

#define MF_ZLIB_FUNCTIONS(X)                                                                                       \
  X(int, inflateInit2_, (mf_z_stream *, int window_bits, const char *version, int size))                           \
  X(int, inflate, (mf_z_stream *, int flush))                                                                      \
  X(int, inflateReset, (mf_z_stream *))                                                                            \
  X(int, inflateEnd, (mf_z_stream *))                                                                              \
  X(unsigned long, crc32, (unsigned long, const uint8_t *, unsigned size))

// zstd.h

typedef struct {
  const void *src;
  size_t size, pos;
} mf_zstd_in;

typedef struct {
  void *dst;
  size_t size, pos;
} mf_zstd_out;

enum { MF_ZSTD_WINDOW_TOO_LARGE = 16, MF_ZSTD_MEMORY = 64, MF_ZSTD_WINDOW_LOG_MAX = 100 };

#define MF_ZSTD_FUNCTIONS(X)                                                                                       \
  X(void *, ZSTD_createDCtx, (void))                                                                               \
  X(size_t, ZSTD_freeDCtx, (void *))                                                                               \
  X(size_t, ZSTD_DCtx_setParameter, (void *, int parameter, int value))                                            \
  X(size_t, ZSTD_decompressStream, (void *, mf_zstd_out *, mf_zstd_in *))                                          \
  X(unsigned, ZSTD_isError, (size_t))                                                                              \
  X(int, ZSTD_getErrorCode, (size_t))

// lzma.h

typedef struct {
  const uint8_t *next_in;
  size_t avail_in;
  uint64_t total_in;
  uint8_t *next_out;
  size_t avail_out;
  uint64_t total_out;
  const void *allocator;
  void *internal;
  void *reserved_pointers[4];
  uint64_t seek_pos, reserved_int2;
  size_t reserved_int3, reserved_int4;
  int reserved_enums[2];
} mf_lzma_stream;

enum {
  MF_LZMA_OK = 0,
  MF_LZMA_STREAM_END = 1,
  MF_LZMA_MEM_ERROR = 5,
  MF_LZMA_MEMLIMIT_ERROR = 6,
  MF_LZMA_BUF_ERROR = 10,
  MF_LZMA_RUN = 0,
  MF_LZMA_FINISH = 3,
};
#define MF_LZMA_CONCATENATED 0x08u

#define MF_LZMA_FUNCTIONS(X)                                                                                       \
  X(int, lzma_stream_decoder, (mf_lzma_stream *, uint64_t memory, uint32_t flags))                                 \
  X(int, lzma_code, (mf_lzma_stream *, int action))                                                                \
  X(void, lzma_end, (mf_lzma_stream *))

// snappy-c.h, lz4.h, brotli/decode.h

#define MF_SNAPPY_FUNCTIONS(X) X(int, snappy_uncompress, (const char *, size_t, char *, size_t *))
#define MF_LZ4_FUNCTIONS(X) X(int, LZ4_decompress_safe, (const char *, char *, int, int))
#define MF_BROTLI_FUNCTIONS(X) X(int, BrotliDecoderDecompress, (size_t, const uint8_t *, size_t *, uint8_t *))

#define MF_DECLARE(result, name, parameters) result(*name) parameters;
#define MF_LIBRARY_TABLE(NAME)                                                                                     \
  struct {                                                                                                         \
    MF_##NAME##_FUNCTIONS(MF_DECLARE)                                                                              \
  }

// NULL when the library isn't there.
typedef MF_LIBRARY_TABLE(ZLIB) mf_zlib;
typedef MF_LIBRARY_TABLE(ZSTD) mf_zstd;
typedef MF_LIBRARY_TABLE(LZMA) mf_lzma;
typedef MF_LIBRARY_TABLE(SNAPPY) mf_snappy;
typedef MF_LIBRARY_TABLE(LZ4) mf_lz4;
typedef MF_LIBRARY_TABLE(BROTLI) mf_brotli;

const mf_zlib *mf_zlib_library(void);
const mf_zstd *mf_zstd_library(void);
const mf_lzma *mf_lzma_library(void);
const mf_snappy *mf_snappy_library(void);
const mf_lz4 *mf_lz4_library(void);
const mf_brotli *mf_brotli_library(void);
