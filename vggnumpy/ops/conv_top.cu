// The derivative behind the last convolution, where nothing comes from above: only the losses at its rectifier, before
// it, and at its pool.  What conv3x3_backward makes of a convolution's output is made of d = 0; see conv_epilogue.cuh.
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"
#include "conv_epilogue.cuh"

// A thread has four channels of a pixel or, with a pool, of a window: of a map of H×W, ⌈H/2⌉×⌈W/2⌉ windows.
// ⌈N·rows·columns·K/4 / 256⌉ blocks of 256 threads.
// instances: top_backward<float>, top_backward<bf16>
template <class T>
__global__ void __launch_bounds__(256)
top_backward(const T* pool_added, const T* added, const T* added_before, const unsigned* mask, const unsigned* windows,
             T* out, int K, int pool, int N, int h, int w, int H, int W) {
  Backward<T> b{pool_added, added, added_before, mask, windows, out, pool, N, h, w, H, W};
  i64 item = (i64)blockIdx.x * 256 + threadIdx.x;
  int rows = pool == NO_POOL ? H : (H + 1) / 2, columns = pool == NO_POOL ? W : (W + 1) / 2;
  int k = (int)(item % (K / 4)) * 4;
  i64 position = item / (K / 4), n = position / ((i64)rows * columns);
  if (n < N)
    backward_item(b, (int)n, (int)(position / columns % rows), (int)(position % columns), k, K,
                  make_float4(0, 0, 0, 0));
}
