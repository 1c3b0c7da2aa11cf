// A network's first layer, 3×3 with stride 1 from 3 channels (an image) to K, and the way back to the image.
//
// 27 products an output are too few for tensor cores: these are plain fp32 kernels, whatever the precision of the
// maps behind them (T: float, or bf16).  Bias, rectifier, mask and pool are fused in as in conv_mma.cu.
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"
#include "conv_epilogue.cuh"

constexpr int THREADS = 256, COLUMNS = 18, HALO = 10 * COLUMNS;  // a tile of 8×16 pixels sees 10×18

// Copy one tile's halo of X, N×H×W×C, channels c0 … c0 + COUNT - 1 of it, as fp32 to halo[pixel * PITCH + c]; zeros
// outside.  Pixel (row, column) of the halo is pixel (at.y - pad + row, at.x - pad + column) of X.
template <int COUNT, int PITCH, class T>
__device__ __forceinline__ void copy_halo(float* halo, const T* X, Place at, int H, int W, int C, int c0, int pad) {
  for (int i = threadIdx.x; i < HALO * COUNT; i += THREADS) {
    int pixel = i / COUNT, c = i % COUNT, y = at.y - pad + pixel / COLUMNS, x = at.x - pad + pixel % COLUMNS;
    bool inside = y >= 0 && y < H && x >= 0 && x < W && c0 + c < C;
    halo[pixel * PITCH + c] = inside ? widen(X[(((i64)at.n * H + y) * W + x) * C + c0 + c]) : 0;
  }
}

// sum[e] += v · f[e].  A thread has channels 4g … 4g + 3 and 32 + 4g …, so that eight threads read 128 bytes in a row.
__device__ __forceinline__ void multiply_add(float* sum, float v, float4 f) {
  sum[0] += v * f.x, sum[1] += v * f.y, sum[2] += v * f.z, sum[3] += v * f.w;
}

// Y[y, x, k] = Σ_{r,s<3} Σ_{c<3} X[y + r - pad, x + s - pad, c] · F[r, s, c, k].  F is 3×3×3×K as it is.
// A block makes 8×16 pixels × 64 channels, a thread 4 pixels in a row × 8 channels: 96 products for each 6 words of the
// halo and 6 float4 of filters.  N·⌈Ho/8⌉·⌈Wo/16⌉·⌈K/64⌉ blocks of 256 threads.
// instances: first_forward<float>, first_forward<bf16>
template <class T>
__global__ void __launch_bounds__(THREADS)
first_forward(const float* X, const float* F, int H, int W, int K, int pad, const float* bias, T* before, T* out,
              unsigned* mask, T* pooled, unsigned* windows, int pool, int N, int h, int w) {
  __shared__ __align__(16) float tile[128 * 72];
  __shared__ __align__(16) float filters[27 * 64];
  __shared__ float halo[HALO * 3];
  Place at = place_of<8, 64>(blockIdx.x, H + 2 * pad - 2, W + 2 * pad - 2, K);
  copy_halo<3, 3>(halo, X, at, H, W, 3, 0, pad);
  for (int i = threadIdx.x; i < 27 * 64; i += THREADS)
    filters[i] = at.k + i % 64 < K ? F[i / 64 * K + at.k + i % 64] : 0;
  __syncthreads();
  int group = threadIdx.x % 8, row = threadIdx.x / 32, column = threadIdx.x / 8 % 4 * 4;
  float sum[4][8] = {};
#pragma unroll
  for (int r = 0; r < 3; r++)
#pragma unroll
    for (int c = 0; c < 3; c++) {
      float v[6];
#pragma unroll
      for (int i = 0; i < 6; i++) v[i] = halo[((row + r) * COLUMNS + column + i) * 3 + c];
#pragma unroll
      for (int s = 0; s < 3; s++) {
        const float* f = filters + ((3 * r + s) * 3 + c) * 64 + 4 * group;
        float4 low = load4(f), high = load4(f + 32);
#pragma unroll
        for (int i = 0; i < 4; i++) multiply_add(sum[i], v[i + s], low), multiply_add(sum[i] + 4, v[i + s], high);
      }
    }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float* to = tile + (16 * row + column + i) * 72 + 4 * group;
    store4(to, make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]));
    store4(to + 32, make_float4(sum[i][4], sum[i][5], sum[i][6], sum[i][7]));
  }
  __syncthreads();
  forward_epilogue<8, 64, THREADS>(tile, threadIdx.x, at,
                                   Forward<T>{bias, before, out, mask, pooled, windows, pool, N, h, w});
}

// dX[y, x, c] = Σ_{r,s<3} Σ_k dY[y + r - pad, x + s - pad, k] · F[2 - r, 2 - s, c, k], `pad` being 2 minus the forward
// one (conv_mma.cu has the derivation).  dY is N×Hy×Wy×K, dX N×H×W×3, H = Hy + 2·pad - 2.
// A block makes 8×16 pixels; its halo of dY comes 64 channels at a time, pixels 68 words apart.  A thread has 4 pixels
// in a row and 8 of the 64 channels, 864 products for 36 float4 of the halo and 54 of filters; the eight threads that
// share the pixels add up by shuffles.  55872 bytes of shared memory.  N·⌈H/8⌉·⌈W/16⌉ blocks of 256 threads.
// instances: first_backward<float>, first_backward<bf16>
template <class T>
__global__ void __launch_bounds__(THREADS)
first_backward(const T* dY, const float* F, int Hy, int Wy, int K, int pad, float* dX) {
  DYN_SHARED(float, halo);
  float* filters = halo + HALO * 68;  // [tap][c][k of 64], turned
  Place at = place_of<8, 4>(blockIdx.x, Hy + 2 * pad - 2, Wy + 2 * pad - 2, 3);
  int group = threadIdx.x % 8, row = threadIdx.x / 32, column = threadIdx.x / 8 % 4 * 4;
  float sum[4][3] = {};
  for (int k0 = 0; k0 < K; k0 += 64) {
    if (k0) __syncthreads();  // the last 64 channels are read
    copy_halo<64, 68>(halo, dY, at, Hy, Wy, K, k0, pad);
    for (int i = threadIdx.x; i < 27 * 64; i += THREADS) {
      int tap = i / 192, c = i / 64 % 3, k = k0 + i % 64;
      filters[i] = k < K ? F[((i64)(8 - tap) * 3 + c) * K + k] : 0;
    }
    __syncthreads();
#pragma unroll 1
    for (int r = 0; r < 3; r++)
#pragma unroll
      for (int part = 0; part < 64; part += 32) {
        float4 d[6];
#pragma unroll
        for (int i = 0; i < 6; i++) d[i] = load4(halo + ((row + r) * COLUMNS + column + i) * 68 + part + 4 * group);
#pragma unroll
        for (int s = 0; s < 3; s++)
#pragma unroll
          for (int c = 0; c < 3; c++) {
            float4 f = load4(filters + ((3 * r + s) * 3 + c) * 64 + part + 4 * group);
#pragma unroll
            for (int i = 0; i < 4; i++)
              sum[i][c] += d[i + s].x * f.x + d[i + s].y * f.y + d[i + s].z * f.z + d[i + s].w * f.w;
          }
      }
  }
#pragma unroll
  for (int i = 0; i < 12; i++)
    for (int offset = 1; offset < 8; offset *= 2) sum[0][i] += __shfl_xor_sync(0xffffffffu, sum[0][i], offset);
  int y = at.y + row, x = at.x + column + group;  // of eight threads that have the same sums, four write a pixel each
  if (group < 4 && y < at.H && x < at.W)
#pragma unroll
    for (int c = 0; c < 3; c++)
      dX[(((i64)at.n * at.H + y) * at.W + x) * 3 + c] =
          group == 0 ? sum[0][c] : group == 1 ? sum[1][c] : group == 2 ? sum[2][c] : sum[3][c];
}
