#pragma once

#include <stddef.h>
#include <stdint.h>

// Decompression by the system's libraries, which are opened when they are first needed: a program that never meets a
// compressed file needs none of them.

typedef enum {
  MF_CODEC_GZIP,     // zlib; members one after the other are one stream
  MF_CODEC_DEFLATE,  // zlib, as it stands in .zip
  MF_CODEC_ZSTD,
  MF_CODEC_XZ,
  MF_CODEC_SNAPPY,  // only whole blocks
  MF_CODEC_LZ4,     // only whole blocks
  MF_CODEC_BROTLI,  // only whole blocks
} mf_codec;

// What came of a step.
typedef enum {
  MF_MORE,            // goes on, with more input or more room
  MF_END,             // the stream is complete
  MF_CORRUPT,         // the bytes are no such stream
  MF_TOO_LARGE,       // the stream asks for more memory than MF_STREAM_MEMORY
  MF_OUT_OF_MEMORY,
} mf_outcome;

// What one stream may ask for, in bytes: the windows of all usual settings (zstd --ultra's and xz -9's) are smaller.
#define MF_STREAM_MEMORY (256u << 20)

// The file name of the library that a codec needs.
const char *mf_codec_library(mf_codec codec);
// The Debian package that has it.
const char *mf_codec_package(mf_codec codec);
// Whether the library is there with all that is needed. Any thread may ask.
int mf_codec_opens(mf_codec codec);

// A stream that is being decompressed; NULL when the codec's library isn't there or memory is short.
typedef struct mf_stream mf_stream;
mf_stream *mf_stream_open(mf_codec codec);
void mf_stream_close(mf_stream *stream);

// Decompresses what it can of `input` into `output`, and tells how much of both it has used.
mf_outcome mf_stream_step(
    mf_stream *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size, size_t *consumed,
    size_t *produced);

// Decompresses a whole block whose size is known. MF_END when it has exactly that size, else MF_CORRUPT.
mf_outcome mf_block_decode(
    mf_codec codec, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size);

// CRC-32 of more bytes, after that of those before (0 at the start); by zlib, which must be there.
uint32_t mf_crc32(uint32_t before, const uint8_t *bytes, size_t size);
