// Convolution and its two derivatives, for every shape: any filter, stride, dilation, zero padding and groups.
// Formulas and conventions are in conv.py; other padding than with zeros is done before (pad.py).
//
//   forward          y[n,i,j,k]  = b[k] + sum over u,v,c of  x[n, a, e, c] * w[u,v,c,k]
//   backward input   dx[n,a,e,c] =        sum over u,v,k of dy[n, i, j, k] * w[u,v,c,k]
//   backward filter  dw[u,v,c,k] =        sum over n,i,j of  x[n, a, e, c] * dy[n,i,j,k]
//
// where always   a = sy*i + ey*u - top,   e = sx*j + ex*v - left,   0 <= a < H,   0 <= e < W:  pixels outside are zero.
// Solved for i, as the second line needs it: i = (a + top - ey*u) / sy, where that divides and 0 <= i < H'.
// With G groups k runs over K/G filters and c over C/G channels of group g = blockIdx.z.
//
// All three are matrix products, with one factor gathered from an image while it is read:
//
//                    rows                 columns     inner
//   forward          positions (n,i,j)    k           (u,v,c)
//   backward input   pixels (n,a,e)       c           (u,v,k)
//   backward filter  (u,v,c)              k           positions (n,i,j)
//
// A block of 256 threads makes a tile of 64 rows x 64 columns, thread (r, s) the 4 x 4 entries (r + 16 i, s + 16 j).
// The inner index goes in steps of 16, whose 16 x 64 entries of both factors pass through shared memory.  The order of
// every sum is fixed by the shapes alone, so the bits are the same every time.
//
// Launch: 256 threads, grid (ceil(rows/64), ceil(columns/64), groups), for the filters (…, …, groups * slices).

#include "../cuda/simt.cuh"

struct ConvShape {
  int height, width, channels;       // of x: H, W, C
  int rows, columns, filters;        // of y: H', W', K
  int kh, kw, sy, sx, ey, ex, top, left;
  int depth, share;                  // channels and filters of one group: C/G, K/G
};

constexpr int TILE = 64, STEP = 16, PITCH = TILE + 2;  // the pitch keeps both ways of filling free of bank conflicts

template <typename T> using Slab = T[STEP][PITCH];

// sum[i][j] += the product of `inner` pairs: fill_a(q0, A) and fill_b(q0, B) write the entries q0 ... q0 + 15 of all
// rows and columns, zeros beyond the end.
template <typename T, class FillA, class FillB>
__device__ __forceinline__ void multiply(T (&sum)[4][4], i64 inner, Slab<T>& A, Slab<T>& B, FillA fill_a,
                                         FillB fill_b) {
  const int r = threadIdx.x / 16, s = threadIdx.x % 16;
  for (i64 q0 = 0; q0 < inner; q0 += STEP) {
    fill_a(q0, A);
    fill_b(q0, B);
    __syncthreads();
#pragma unroll
    for (int q = 0; q < STEP; q++) {
      T a[4], b[4];
#pragma unroll
      for (int i = 0; i < 4; i++) a[i] = A[q][r + 16 * i], b[i] = B[q][s + 16 * i];
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] += a[i] * b[j];
    }
    __syncthreads();  // before the next step overwrites what slower threads still read
  }
}

template <typename T>
__global__ void __launch_bounds__(256, 2) conv_forward(ConvShape s, i64 positions, const T* __restrict__ x,
                                                       const T* __restrict__ w, const T* __restrict__ bias, T* y) {
  __shared__ Slab<T> A, B;
  const int t = threadIdx.x, group = blockIdx.z, k0 = blockIdx.y * TILE, inner = s.kh * s.kw * s.depth;
  const i64 p0 = (i64)blockIdx.x * TILE;

  // This thread fills inner index q0 + t % 16 of the rows t / 16 + 16 i: where their windows begin.
  const T* image[4];
  int top[4], left[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const i64 p = p0 + t / 16 + 16 * i, n = p / ((i64)s.rows * s.columns);
    const int within = int(p - n * s.rows * s.columns);
    image[i] = x + n * s.height * s.width * s.channels + group * s.depth;
    top[i] = p < positions ? within / s.columns * s.sy - s.top : -(1 << 30);  // no row of x is there
    left[i] = within % s.columns * s.sx - s.left;
  }
  auto windows = [&](i64 q0, Slab<T>& A) {
    const int q = int(q0) + t % 16, c = q % s.depth, tap = q / s.depth, u = tap / s.kw, v = tap - u * s.kw;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int a = top[i] + u * s.ey, e = left[i] + v * s.ex;
      const bool inside = q < inner && a >= 0 && a < s.height && e >= 0 && e < s.width;
      A[t % 16][t / 16 + 16 * i] = inside ? image[i][((i64)a * s.width + e) * s.channels + c] : T(0);
    }
  };
  auto filters = [&](i64 q0, Slab<T>& B) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int q = int(q0) + t / 64 + 4 * i, k = k0 + t % 64;
      const bool inside = q < inner && k < s.share;
      B[t / 64 + 4 * i][t % 64] = inside ? w[(i64)q * s.filters + group * s.share + k] : T(0);
    }
  };
  T sum[4][4] = {};
  multiply(sum, inner, A, B, windows, filters);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const i64 p = p0 + t / 16 + 16 * i;
      const int k = k0 + t % 16 + 16 * j, channel = group * s.share + k;
      if (p < positions && k < s.share) y[p * s.filters + channel] = sum[i][j] + (bias ? bias[channel] : T(0));
    }
}

template <typename T>
__global__ void __launch_bounds__(256, 2) conv_backward_input(ConvShape s, i64 pixels, const T* __restrict__ dy,
                                                              const T* __restrict__ w, T* dx) {
  __shared__ Slab<T> A, B;
  const int t = threadIdx.x, group = blockIdx.z, c0 = blockIdx.y * TILE, inner = s.kh * s.kw * s.share;
  const i64 p0 = (i64)blockIdx.x * TILE;

  const T* image[4];
  int row[4], column[4];  // a + top, e + left
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const i64 p = p0 + t / 16 + 16 * i, n = p / ((i64)s.height * s.width);
    const int within = int(p - n * s.height * s.width);
    image[i] = dy + n * s.rows * s.columns * s.filters + group * s.share;
    row[i] = p < pixels ? within / s.width + s.top : -(1 << 30);
    column[i] = within % s.width + s.left;
  }
  auto derivatives = [&](i64 q0, Slab<T>& A) {
    const int q = int(q0) + t % 16, k = q % s.share, tap = q / s.share, u = tap / s.kw, v = tap - u * s.kw;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int down = row[i] - u * s.ey, right = column[i] - v * s.ex;  // sy * i, sx * j
      const bool inside = q < inner && down >= 0 && right >= 0 && down % s.sy == 0 && right % s.sx == 0 &&
                          down / s.sy < s.rows && right / s.sx < s.columns;
      const i64 at = (i64)(down / s.sy) * s.columns + right / s.sx;
      A[t % 16][t / 16 + 16 * i] = inside ? image[i][at * s.filters + k] : T(0);
    }
  };
  auto filters = [&](i64 q0, Slab<T>& B) {
    const int q = int(q0) + t % 16, k = q % s.share, tap = q / s.share;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int c = c0 + t / 16 + 16 * i;
      const bool inside = q < inner && c < s.depth;
      B[t % 16][t / 16 + 16 * i] = inside ? w[((i64)tap * s.depth + c) * s.filters + group * s.share + k] : T(0);
    }
  };
  T sum[4][4] = {};
  multiply(sum, inner, A, B, derivatives, filters);
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const i64 p = p0 + t / 16 + 16 * i;
      const int c = c0 + t % 16 + 16 * j;
      if (p < pixels && c < s.depth) dx[p * s.channels + group * s.depth + c] = sum[i][j];
    }
}

// The positions are cut into slices of `length`, a multiple of CHUNK; slice m writes dw of its positions to parts[m],
// an array like w, and the host adds the parts.  Within a slice every CHUNK of positions is summed by itself: a float32
// sum over a million positions in one go would lose three digits.
constexpr int CHUNK = 1024;

template <typename T>
__global__ void __launch_bounds__(256, 2) conv_backward_filter(ConvShape s, i64 positions, i64 length, int slices,
                                                               const T* __restrict__ x, const T* __restrict__ dy,
                                                               T* parts) {
  __shared__ Slab<T> A, B;
  const int t = threadIdx.x, group = blockIdx.z / slices, slice = blockIdx.z % slices, k0 = blockIdx.y * TILE;
  const int taps = s.kh * s.kw * s.depth, m = blockIdx.x * TILE + t % 64;  // this thread fills row m of A: (u, v, c)
  const int c = m % s.depth, tap = m / s.depth, u = tap / s.kw, v = tap - u * s.kw;
  const i64 end = min(positions, (slice + 1) * length);
  T total[4][4] = {};
  for (i64 p0 = slice * length; p0 < end; p0 += CHUNK) {
    auto windows = [&](i64 q0, Slab<T>& A) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const i64 p = p0 + q0 + t / 64 + 4 * i, n = p / ((i64)s.rows * s.columns);
        const int within = int(p - n * s.rows * s.columns);
        const int a = within / s.columns * s.sy + u * s.ey - s.top, e = within % s.columns * s.sx + v * s.ex - s.left;
        const bool inside = m < taps && p < end && a >= 0 && a < s.height && e >= 0 && e < s.width;
        const i64 at = (n * s.height + a) * s.width + e;
        A[t / 64 + 4 * i][t % 64] = inside ? x[at * s.channels + group * s.depth + c] : T(0);
      }
    };
    auto derivatives = [&](i64 q0, Slab<T>& B) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const i64 p = p0 + q0 + t / 64 + 4 * i;
        const int k = k0 + t % 64;
        B[t / 64 + 4 * i][t % 64] = p < end && k < s.share ? dy[p * s.filters + group * s.share + k] : T(0);
      }
    };
    T sum[4][4] = {};
    multiply(sum, min(end - p0, (i64)CHUNK), A, B, windows, derivatives);
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 4; j++) total[i][j] += sum[i][j];
  }
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int row = blockIdx.x * TILE + t / 16 + 16 * i, k = k0 + t % 16 + 16 * j;
      if (row < taps && k < s.share)
        parts[((i64)slice * taps + row) * s.filters + group * s.share + k] = total[i][j];
    }
}
