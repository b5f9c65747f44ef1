#include <limits.h>

#include "CCompression.h"
#include "libraries.h"

// A stream in one go.
static mf_outcome decode_stream(
    mf_codec codec, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size) {
  mf_stream *stream = mf_stream_open(codec);
  if (!stream) return MF_OUT_OF_MEMORY;
  mf_outcome outcome = MF_MORE;
  size_t read = 0, written = 0;
  while (outcome == MF_MORE) {
    size_t consumed = 0, produced = 0;
    outcome = mf_stream_step(
        stream, input + read, input_size - read, output + written, output_size - written, &consumed, &produced);
    read += consumed;
    written += produced;
    if (outcome == MF_MORE && consumed == 0 && produced == 0) outcome = MF_CORRUPT;
  }
  mf_stream_close(stream);
  if (outcome == MF_END && written != output_size) return MF_CORRUPT;
  return outcome;
}

mf_outcome mf_block_decode(
    mf_codec codec, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size) {
  if (!mf_codec_opens(codec)) return MF_OUT_OF_MEMORY;
  size_t size = output_size;
  switch (codec) {
  case MF_CODEC_SNAPPY: {
    int result = mf_snappy_library()->snappy_uncompress((const char *)input, input_size, (char *)output, &size);
    return result == 0 && size == output_size ? MF_END : MF_CORRUPT;
  }
  case MF_CODEC_LZ4: {
    if (input_size > INT_MAX || output_size > INT_MAX) return MF_CORRUPT;
    int result = mf_lz4_library()->LZ4_decompress_safe(
        (const char *)input, (char *)output, (int)input_size, (int)output_size);
    return result >= 0 && (size_t)result == output_size ? MF_END : MF_CORRUPT;
  }
  case MF_CODEC_BROTLI: {
    int result = mf_brotli_library()->BrotliDecoderDecompress(input_size, input, &size, output);
    return result == 1 && size == output_size ? MF_END : MF_CORRUPT;
  }
  default: return decode_stream(codec, input, input_size, output, output_size);
  }
}

uint32_t mf_crc32(uint32_t before, const uint8_t *bytes, size_t size) {
  const mf_zlib *zlib = mf_zlib_library();
  unsigned long crc = before;
  for (size_t done = 0; zlib && done < size;) {
    unsigned count = size - done < INT_MAX ? (unsigned)(size - done) : INT_MAX;
    crc = zlib->crc32(crc, bytes + done, count);
    done += count;
  }
  return (uint32_t)crc;
}
