#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

#include "CCompression.h"
#include "libraries.h"

struct mf_stream {
  mf_codec codec;
  bool between_members;  // gzip: a member has ended, another may follow
  union {
    mf_z_stream zlib;
    void *zstd;
    mf_lzma_stream lzma;
  };
};

static bool start(mf_stream *stream) {
  switch (stream->codec) {
  case MF_CODEC_GZIP:
  case MF_CODEC_DEFLATE: {
    const mf_zlib *zlib = mf_zlib_library();
    // 15 bits of window; 16 more for gzip's head and check, a minus for neither.
    int bits = stream->codec == MF_CODEC_GZIP ? 15 + 16 : -15;
    return zlib && zlib->inflateInit2_(&stream->zlib, bits, "1", sizeof stream->zlib) == MF_Z_OK;
  }
  case MF_CODEC_ZSTD: {
    const mf_zstd *zstd = mf_zstd_library();
    if (!zstd || !(stream->zstd = zstd->ZSTD_createDCtx())) return false;
    // As much as MF_STREAM_MEMORY.
    return !zstd->ZSTD_isError(zstd->ZSTD_DCtx_setParameter(stream->zstd, MF_ZSTD_WINDOW_LOG_MAX, 28));
  }
  case MF_CODEC_XZ: {
    const mf_lzma *lzma = mf_lzma_library();
    return lzma && lzma->lzma_stream_decoder(&stream->lzma, MF_STREAM_MEMORY, MF_LZMA_CONCATENATED) == MF_LZMA_OK;
  }
  default: return false;
  }
}

mf_stream *mf_stream_open(mf_codec codec) {
  mf_stream *stream = calloc(1, sizeof *stream);
  if (!stream) return NULL;
  stream->codec = codec;
  if (start(stream)) return stream;
  mf_stream_close(stream);
  return NULL;
}

void mf_stream_close(mf_stream *stream) {
  switch (stream->codec) {
  case MF_CODEC_GZIP:
  case MF_CODEC_DEFLATE:
    if (mf_zlib_library()) mf_zlib_library()->inflateEnd(&stream->zlib);
    break;
  case MF_CODEC_ZSTD:
    if (mf_zstd_library()) mf_zstd_library()->ZSTD_freeDCtx(stream->zstd);
    break;
  case MF_CODEC_XZ:
    if (mf_lzma_library()) mf_lzma_library()->lzma_end(&stream->lzma);
    break;
  default: break;
  }
  free(stream);
}

static mf_outcome step_zlib(mf_stream *stream) {
  const mf_zlib *zlib = mf_zlib_library();
  mf_z_stream *z = &stream->zlib;
  if (stream->between_members) {
    if (z->avail_in == 0) return MF_END;
    // Zeros that pad the last member are no other member.
    while (z->avail_in > 0 && *z->next_in == 0) z->next_in++, z->avail_in--;
    if (z->avail_in == 0) return MF_END;
    zlib->inflateReset(z);
    stream->between_members = false;
  }
  int result = zlib->inflate(z, 0);
  switch (result) {
  case MF_Z_OK:
  case MF_Z_BUF_ERROR: return MF_MORE;
  case MF_Z_STREAM_END:
    stream->between_members = stream->codec == MF_CODEC_GZIP;
    return stream->between_members && z->avail_in > 0 ? MF_MORE : MF_END;
  case MF_Z_MEM_ERROR: return MF_OUT_OF_MEMORY;
  default: return MF_CORRUPT;
  }
}

static mf_outcome step_zstd(mf_stream *stream, mf_zstd_in *in, mf_zstd_out *out) {
  const mf_zstd *zstd = mf_zstd_library();
  size_t left = zstd->ZSTD_decompressStream(stream->zstd, out, in);
  if (!zstd->ZSTD_isError(left)) return left == 0 && in->pos == in->size ? MF_END : MF_MORE;
  switch (zstd->ZSTD_getErrorCode(left)) {
  case MF_ZSTD_WINDOW_TOO_LARGE: return MF_TOO_LARGE;
  case MF_ZSTD_MEMORY: return MF_OUT_OF_MEMORY;
  default: return MF_CORRUPT;
  }
}

// xz alone must be told that the input is over, which an empty input does.
static mf_outcome step_xz(mf_stream *stream, bool is_over) {
  switch (mf_lzma_library()->lzma_code(&stream->lzma, is_over ? MF_LZMA_FINISH : MF_LZMA_RUN)) {
  case MF_LZMA_OK:
  case MF_LZMA_BUF_ERROR: return MF_MORE;
  case MF_LZMA_STREAM_END: return MF_END;
  case MF_LZMA_MEM_ERROR: return MF_OUT_OF_MEMORY;
  case MF_LZMA_MEMLIMIT_ERROR: return MF_TOO_LARGE;
  default: return MF_CORRUPT;
  }
}

mf_outcome mf_stream_step(
    mf_stream *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size, size_t *consumed,
    size_t *produced) {
  mf_outcome outcome = MF_CORRUPT;
  switch (stream->codec) {
  case MF_CODEC_GZIP:
  case MF_CODEC_DEFLATE: {
    mf_z_stream *z = &stream->zlib;
    unsigned in = input_size < INT_MAX ? (unsigned)input_size : INT_MAX;
    unsigned out = output_size < INT_MAX ? (unsigned)output_size : INT_MAX;
    z->next_in = input, z->avail_in = in;
    z->next_out = output, z->avail_out = out;
    outcome = step_zlib(stream);
    *consumed = in - z->avail_in;
    *produced = out - z->avail_out;
    break;
  }
  case MF_CODEC_ZSTD: {
    mf_zstd_in in = {input, input_size, 0};
    mf_zstd_out out = {output, output_size, 0};
    outcome = step_zstd(stream, &in, &out);
    *consumed = in.pos;
    *produced = out.pos;
    break;
  }
  case MF_CODEC_XZ: {
    mf_lzma_stream *x = &stream->lzma;
    x->next_in = input, x->avail_in = input_size;
    x->next_out = output, x->avail_out = output_size;
    outcome = step_xz(stream, input_size == 0);
    *consumed = input_size - x->avail_in;
    *produced = output_size - x->avail_out;
    break;
  }
  default: *consumed = *produced = 0;
  }
  return outcome;
}
