// Every kernel family for one instruction set and storage type, and their table. Included by the headers of isa/ inside
// their target attribute.
#include "../simd.h"
#include "../storage.h"

// In the order in which they build on each other.
// clang-format off
#include "elementwise.h"
#include "tile.h"
#include "pack.h"
#if MF_BF16_INSTRUCTIONS
#include "tile_bf16.h"
#include "pack_bf16.h"
#include "gemm_shared.h"
#include "gemm_bf16.h"
#else
#include "column_sum.h"
#include "gemm_shared.h"
#include "gemm.h"
#endif
#include "operand.h"
#include "activation.h"
#include "norm.h"
#include "head_norm.h"
#include "rotary.h"
#include "philox.h"
#include "dropout.h"
#include "embedding.h"
#include "convolution.h"
#include "mean_pool.h"
#include "attention.h"
#include "attention_grad.h"
#include "cached_attention.h"
#include "head_loss.h"
#include "optimizer.h"
#include "muon.h"
// clang-format on

#define MF_KERNELS(isa_value, isa_name)                                                                            \
  const mf_kernels MF_TABLE(isa_name, MF_STORAGE_SUFFIX) = {                                                       \
    .isa = (isa_value), .storage = MF_STORAGE, .name = #isa_name, .gemm = gemm, .norm = norm,                      \
    .norm_grad = norm_grad, .head_norm = head_norm, .head_norm_grad = head_norm_grad, .rotary = rotary,            \
    .attention = attention, .attention_grad = attention_grad, .cached_attention = cached_attention,                \
    .activation = activation, .activation_grad = activation_grad, .dropout = dropout, .embedding = embedding,      \
    .embedding_grad = embedding_grad, .convolution = convolution, .convolution_grad = convolution_grad,            \
    .mean_pool = mean_pool, .mean_pool_grad = mean_pool_grad,                                                      \
    .head_loss = head_loss, .add = add, .softcap = softcap, .sum_of_squares = sum_of_squares,                      \
    .adamw = adamw, .muon = muon, .narrow = narrow, .widen = widen,                                                  \
  };
