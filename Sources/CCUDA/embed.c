#include "CCUDA.h"

// F(identifier, file) for each file; the texts are tracked by the build.
#define FILES(F)                                                                                                   \
  F(activation, "activation.cu")                                                                                   \
  F(attention, "attention.cu")                                                                                     \
  F(attention_tensor, "attention_tensor.cu")                                                                       \
  F(cached_attention, "cached_attention.cu")                                                                       \
  F(convolution, "convolution.cu")                                                                                 \
  F(dropout, "dropout.cu")                                                                                         \
  F(elementwise, "elementwise.cu")                                                                                 \
  F(embedding, "embedding.cu")                                                                                     \
  F(head_loss, "head_loss.cu")                                                                                     \
  F(head_norm, "head_norm.cu")                                                                                     \
  F(mean_pool, "mean_pool.cu")                                                                                     \
  F(muon, "muon.cu")                                                                                               \
  F(norm, "norm.cu")                                                                                               \
  F(optimizer, "optimizer.cu")                                                                                     \
  F(rotary, "rotary.cu")                                                                                           \
  F(sums, "sums.cu")

#define HEADERS(F)                                                                                                 \
  F(attention_header, "attention.cuh")                                                                             \
  F(chance, "chance.cuh")                                                                                          \
  F(common, "common.cuh")                                                                                          \
  F(philox, "philox.cuh")                                                                                          \
  F(ptx, "ptx.cuh")                                                                                                \
  F(kernel_arguments, "KernelArguments.h")

// #embed is a directive, which no macro can hold: one declaration for each name above.
static const char activation[] = {
#embed "kernels/activation.cu" suffix(, 0)
};
static const char attention[] = {
#embed "kernels/attention.cu" suffix(, 0)
};
static const char attention_tensor[] = {
#embed "kernels/attention_tensor.cu" suffix(, 0)
};
static const char cached_attention[] = {
#embed "kernels/cached_attention.cu" suffix(, 0)
};
static const char convolution[] = {
#embed "kernels/convolution.cu" suffix(, 0)
};
static const char dropout[] = {
#embed "kernels/dropout.cu" suffix(, 0)
};
static const char elementwise[] = {
#embed "kernels/elementwise.cu" suffix(, 0)
};
static const char embedding[] = {
#embed "kernels/embedding.cu" suffix(, 0)
};
static const char head_loss[] = {
#embed "kernels/head_loss.cu" suffix(, 0)
};
static const char head_norm[] = {
#embed "kernels/head_norm.cu" suffix(, 0)
};
static const char mean_pool[] = {
#embed "kernels/mean_pool.cu" suffix(, 0)
};
static const char muon[] = {
#embed "kernels/muon.cu" suffix(, 0)
};
static const char norm[] = {
#embed "kernels/norm.cu" suffix(, 0)
};
static const char optimizer[] = {
#embed "kernels/optimizer.cu" suffix(, 0)
};
static const char rotary[] = {
#embed "kernels/rotary.cu" suffix(, 0)
};
static const char sums[] = {
#embed "kernels/sums.cu" suffix(, 0)
};
static const char attention_header[] = {
#embed "kernels/attention.cuh" suffix(, 0)
};
static const char chance[] = {
#embed "kernels/chance.cuh" suffix(, 0)
};
static const char common[] = {
#embed "kernels/common.cuh" suffix(, 0)
};
static const char philox[] = {
#embed "kernels/philox.cuh" suffix(, 0)
};
static const char ptx[] = {
#embed "kernels/ptx.cuh" suffix(, 0)
};
static const char kernel_arguments[] = {
#embed "include/KernelArguments.h" suffix(, 0)
};

#define ENTRY(identifier, file) {file, identifier, sizeof identifier - 1},
#define COUNT(array) (sizeof array / sizeof array[0])

static const mf_kernel_text files[] = {FILES(ENTRY)}, headers[] = {HEADERS(ENTRY)};
static const char *const options[] = MF_KERNEL_OPTIONS;

mf_kernel_texts mf_kernel_files(void) { return (mf_kernel_texts){files, COUNT(files)}; }
mf_kernel_texts mf_kernel_headers(void) { return (mf_kernel_texts){headers, COUNT(headers)}; }
mf_kernel_option_list mf_kernel_options(void) { return (mf_kernel_option_list){options, COUNT(options)}; }
