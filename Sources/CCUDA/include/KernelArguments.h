// What the host leaves in device memory for the kernels to read: included by C, Swift and the kernels alike.
//
// A micro-step is a captured graph, whose kernels' arguments are frozen: what changes from one to the next lies here.
#ifndef MAYFLY_KERNELARGUMENTS_H
#define MAYFLY_KERNELARGUMENTS_H

#ifndef MF_KERNEL
#include <stdint.h>
#endif

/// What changes from micro-step to micro-step.
typedef struct {
  uint64_t seed;
  uint32_t micro_step;
  float loss_scale;                                // what all gradients are multiplied by from the loss on
} mf_run;

/// What changes from update to update. The first as mf_adamw of CKernels.h, computed in fp64:
typedef struct {
  float one_minus_beta1, beta2, one_minus_beta2;
  float epsilon;
  float root_scale;                                // 1/√(1 − β2ᵗ)
  float step;                                      // η / (1 − β1ᵗ)
  float clip;                                      // largest norm of all gradients, 0: not clipped
  float loss_scale;                                // what the gradients were multiplied by
  double most_loss, most_norm;                     // with more of either the weights stay
} mf_update;

/// A range of parameters that are updated alike.
typedef struct {
  int64_t start;
  float decay;                                     // 1 − its rate·weight decay
  float rate;                                      // its rate / η
  uint32_t chance;                                 // of moments rounded by chance: another one for every update
} mf_segment;

/// What changes from update to update for Muon's matrices.
typedef struct {
  float momentum;                                  // μ
  float learning_rate;
  float decay;                                     // 1 − learning rate·weight decay
  float norm_margin;                               // the norm is taken to be this much larger
  uint32_t chance;                                 // of momentum rounded by chance: another one for every update
} mf_muon_update;

/// A matrix that Muon updates.
typedef struct {
  int64_t start;                                   // in the flat buffers
  int64_t place;                                   // among those that are computed together
  float stretch;                                   // √max(1, rows/columns)
  int32_t first_chunk, chunk_count;
} mf_muon_matrix;

/// What one block of the optimizer's grid updates: at most 8192 elements of one segment (of Muon's, of one matrix), from a
/// multiple of 8 of its elements on.
typedef struct {
  int64_t start;
  int32_t count, segment;
} mf_chunk;

/// What the gradients' norm says; written by mf_gradient_state, read by what updates and, later, by the host.
typedef struct {
  double norm;                                     // before clipping, of unscaled gradients
  double loss, accuracy;                           // as mf_loss_total left them
  float scale;                                     // what the optimizer multiplies gradients by
  int32_t skips;                                   // 1: the loss or the norm is no number or too large, the weights stay
} mf_gradient_state_t;

#endif
