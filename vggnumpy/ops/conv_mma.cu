// The 3×3 convolution with stride 1 on tensor cores by mma.sync and cp.async (compute capability 8.0 and up), forward
// and its derivative with respect to the input, with everything that follows fused in (conv_epilogue.cuh).
//
//   Y[y, x, k] = Σ_{r,s<3} Σ_{c<C} X[y + r - pad, x + s - pad, c] · F[r, s, c, k]      0 ≤ y < H + 2·pad - 2
//
// X is zero outside the map.  The derivative with respect to X is the same sum: X[y', x', c] is in Y[y, x, k] with
// r = y' + pad - y, so with r' = 2 - r
//
//   dX[y', x', c] = Σ_{r',s'} Σ_k dY[y' + r' - (2 - pad), x' + s' - (2 - pad), k] · F[2 - r', 2 - s', c, k]
//
// that is, the convolution of dY with the filters turned by 180°, their channels exchanged, and padding 2 - pad.
// Filters come prepared as [tap = 3r + s][output channel][input channel].
//
// As a product of matrices: M = pixels, N = output channels, depth = 9·C.  A block makes 128 pixels (8 rows of 16) by
// BN = 64 or 128 channels with 8 warps; a warp 32 pixels × 32 channels (BN = 64: 4 × 2 warps) or 64 × 32 (128: 2 × 4).
// The depth goes in *slices* of 128 bytes of channels (32 floats, 64 bf16).  Of a slice the block holds the *halo*,
// the 10×18 pixels that its 128 pixels reach with all nine taps, so X is read 1.4 times instead of 9, and nine *steps*
// follow, one for each tap, each with its own BN×128 bytes of filters.  Taps differ only in where ldmatrix reads.
//
// Shared memory: rows of ROW = 144 bytes (mma_step.cuh); ldmatrix reads 8 that are neighbours in x, or in k.
//   halo      2 × 180 rows                     = 51840 bytes, one read while the next is filled
//   filters   STAGES × BN rows                 = 27648 (BN = 64), 55296 (BN = 128) bytes with 3 stages
//   together  79488 or 107136 bytes: 2 blocks a multiprocessor on sm_90, and on sm_80 with BN = 64.
// The epilogue's tile, 128 × (BN + 8) floats = 36864 or 69632 bytes, reuses it.
//
// Precision: mma_step.cuh.  Filters come rounded to tf32 or bf16, or as they are (FP32).
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"
#include "conv_epilogue.cuh"
#include "../cuda/mma_step.cuh"

constexpr int HALO_COLUMNS = 18, HALO = 10 * HALO_COLUMNS, THREADS = 256, STAGES = 3;

// X is N×H×W×C; C is a multiple of 16 bytes.
template <class T> struct Input { const T *x, *filters; int H, W, C, pad; };

// One slice of channels of the halo: PARTS calls copy it, each thread 16 bytes at each.  Pixel (row, column) of the
// halo is pixel (at.y - pad + row, at.x - pad + column) of X; where that is outside 0 ≤ · < H, W, zeros.
constexpr int PARTS = (HALO * 8 + THREADS - 1) / THREADS;
template <class T>
__device__ __forceinline__ void copy_halo(char* halo, Input<T> in, Place at, int slice, int part) {
  constexpr int EACH = 16 / sizeof(T);
  int i = part * THREADS + threadIdx.x, pixel = i >> 3, c = (slice * 8 + (i & 7)) * EACH;
  int y = at.y - in.pad + pixel / HALO_COLUMNS, x = at.x - in.pad + pixel % HALO_COLUMNS;
  bool inside = y >= 0 && y < in.H && x >= 0 && x < in.W && c < in.C;
  const T* from = in.x + (inside ? (((i64)at.n * in.H + y) * in.W + x) * in.C + c : 0);
  if (pixel < HALO) ptx_cp_async16(halo + pixel * ROW + (i & 7) * 16, from, inside);
}

// One tap's filters for a slice: rows are output channels at.k … at.k + BN - 1.
template <int BN, class T>
__device__ __forceinline__ void copy_filters(char* stage, Input<T> in, Place at, int slice, int tap) {
  constexpr int EACH = 16 / sizeof(T);
#pragma unroll
  for (int i = threadIdx.x; i < BN * 8; i += THREADS) {
    int n = i >> 3, k = at.k + n, c = (slice * 8 + (i & 7)) * EACH;
    bool inside = k < at.K && c < in.C;
    const T* from = in.filters + (inside ? ((i64)tap * at.K + k) * in.C + c : 0);
    ptx_cp_async16(stage + n * ROW + (i & 7) * 16, from, inside);
  }
}

// The tile of products, left in shared memory as the epilogue wants it.
template <int P, int BN, class T> __device__ __forceinline__ float* convolve(Input<T> in, Place at) {
  constexpr int WARPS_N = BN / 32, MT = BN == 64 ? 2 : 4;  // warps side by side; image rows of a warp
  DYN_SHARED(char, shared);
  char* filters = shared + 2 * HALO * ROW;
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, row = warp / WARPS_N * MT, n = warp % WARPS_N * 32;
  // ldmatrix' four matrices: of A, pixels 0-7 and 8-15, then the same 16 bytes further; of B, channels 0-7 and the same
  // 16 bytes further, then channels 8-15.
  const char* a = shared + (row * HALO_COLUMNS + (lane & 15)) * ROW + (lane >> 4) * 16;
  const char* b = filters + (n + (lane >> 4) * 8 + (lane & 7)) * ROW + (lane >> 3 & 1) * 16;

  int slices = (in.C * (int)sizeof(T) + 127) / 128, steps = 9 * slices;
  for (int part = 0; part < PARTS; part++) copy_halo(shared, in, at, 0, part);
  for (int step = 0; step < STAGES - 1; step++) {
    copy_filters<BN>(filters + step * BN * ROW, in, at, 0, step);
    ptx_cp_commit();
  }
  float sum[MT][4][4] = {};
  for (int step = 0; step < steps; step++) {
    int slice = step / 9, tap = step - 9 * slice, next = step + STAGES - 1;
    // Group i holds the filters of step i, and so far STAGES - 1 + step groups were made: all up to this step's have
    // landed.  The halo's parts go with taps 0 … PARTS - 1 and so are in groups up to 9·slice + PARTS - 1 + STAGES - 1,
    // before the next slice's first step.
    ptx_cp_wait<STAGES - 2>();
    __syncthreads();  // everyone's copies landed, and everyone is done with step - 1, whose places are filled now
    if (next < steps) copy_filters<BN>(filters + next % STAGES * BN * ROW, in, at, next / 9, next % 9);
    if (tap < PARTS && slice + 1 < slices) copy_halo(shared + (slice + 1) % 2 * HALO * ROW, in, at, slice + 1, tap);
    ptx_cp_commit();
    const char* here = a + (slice % 2 * HALO + tap / 3 * HALO_COLUMNS + tap % 3) * ROW;
    const char* stage = b + step % STAGES * BN * ROW;
    if (P != FP32) {
      multiply_step<P, MT, HALO_COLUMNS>(sum, here, stage);
    } else {
      float own[MT][4][4] = {};
      multiply_step<P, MT, HALO_COLUMNS>(own, here, stage);
#pragma unroll
      for (int i = 0; i < MT * 16; i++) sum[0][0][i] += own[0][0][i];
    }
  }

  __syncthreads();  // the last step's reads are done
  float* tile = (float*)shared;
#pragma unroll
  for (int i = 0; i < MT; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = (row + i) * 16 + (lane >> 2) + 8 * half, k = n + j * 8 + 2 * (lane & 3);
        *(float2*)(tile + m * (BN + 8) + k) = make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
      }
  __syncthreads();
  return tile;
}

// instances: conv3x3_forward<FP32, 64>, conv3x3_forward<TF32, 64>, conv3x3_forward<TF32, 128>
// instances: conv3x3_forward<BF16, 64>, conv3x3_forward<BF16, 128>
// X is N×H×W×C, the output N×Ho×Wo×K with Ho = H + 2·pad - 2; N·⌈Ho/8⌉·⌈Wo/16⌉·⌈K/BN⌉ blocks of 256 threads.
template <int P, int BN, class T = typename Map<P>::T>
__global__ void __launch_bounds__(THREADS, 2)
conv3x3_forward(const T* x, const T* filters, int H, int W, int C, int K, int pad, const float* bias, T* before, T* out,
                unsigned* mask, T* pooled, unsigned* windows, int pool, int N, int h, int w) {
  Place at = place_of<8, BN>(blockIdx.x, H + 2 * pad - 2, W + 2 * pad - 2, K);
  const float* tile = convolve<P, BN>(Input<T>{x, filters, H, W, C, pad}, at);
  Forward<T> then{bias, before, out, mask, pooled, windows, pool, N, h, w};
  forward_epilogue<8, BN, THREADS>(tile, threadIdx.x, at, then);
}

// instances: conv3x3_backward<FP32, 64>, conv3x3_backward<TF32, 64>, conv3x3_backward<TF32, 128>
// instances: conv3x3_backward<BF16, 64>, conv3x3_backward<BF16, 128>
// dy is N×Hy×Wy×C; `pad` is 2 minus that of the forward convolution, whose input was N×(Hy + 2·pad - 2)×…×K, the map
// H×W itself or, with a pool between, h×w.  N·⌈Ht/8⌉·⌈Wt/16⌉·⌈K/BN⌉ blocks, Ht×Wt being H×W or, with a pool,
// ⌈H/2⌉×⌈W/2⌉.
template <int P, int BN, class T = typename Map<P>::T>
__global__ void __launch_bounds__(THREADS, 2)
conv3x3_backward(const T* dy, const T* filters, int Hy, int Wy, int C, int K, int pad, const T* pool_added,
                 const T* added, const T* added_before, const unsigned* mask, const unsigned* windows, T* out, int pool,
                 int N, int h, int w, int H, int W) {
  Place at = pool ? place_of<8, BN>(blockIdx.x, (H + 1) / 2, (W + 1) / 2, K) : place_of<8, BN>(blockIdx.x, H, W, K);
  const float* tile = convolve<P, BN>(Input<T>{dy, filters, Hy, Wy, C, pad}, at);
  Backward<T> then{pool_added, added, added_before, mask, windows, out, pool, N, h, w, H, W};
  backward_epilogue<8, BN, THREADS>(tile, threadIdx.x, at, then);
}
