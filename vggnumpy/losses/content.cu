// The content loss on feature maps as the tensor-core kernels keep them: Σ e² and 2k e for e = F − P; see content.py.
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"

constexpr int THREADS = 256;

// squares[block] is the block's part of Σ e²; out = slope · e (+ added).  Pointers that are 0 are not wanted; `out` may
// be `features` or `added`.  A thread takes four entries at a time, the blocks one after the other until all are done.
// Every thread sums in double, then the block by halves: the same bits every time.
// instances: content_difference<float>, content_difference<bf16>
template <class T>
__global__ void __launch_bounds__(THREADS)
content_difference(const T* features, const T* target, i64 fours, float slope, const T* added, T* out,
                   double* squares) {
  __shared__ double share[THREADS];
  double sum = 0;
  for (i64 i = (i64)blockIdx.x * THREADS + threadIdx.x; i < fours; i += (i64)gridDim.x * THREADS) {
    float4 e = add4(load4(features + 4 * i), scale4(load4(target + 4 * i), -1));
    sum += (double)e.x * e.x + (double)e.y * e.y + (double)e.z * e.z + (double)e.w * e.w;
    if (!out) continue;
    e = scale4(e, slope);
    store4(out + 4 * i, added ? add4(e, load4(added + 4 * i)) : e);
  }
  if (!squares) return;
  share[threadIdx.x] = sum;
  for (int half = THREADS / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) share[threadIdx.x] += share[threadIdx.x + half];
  }
  if (threadIdx.x == 0) squares[blockIdx.x] = share[0];
}
