// Max and average pooling and their derivatives; formulas and conventions are in pool.py.
//
// Window (i, j) holds the pixels of rows sy*i - top + u, 0 <= u < kh, and columns sx*j - left + v, 0 <= v < kw, that
// lie in the image:
//
//   u from max(0, top - sy*i) to min(kh, H + top - sy*i) - 1        and v likewise                              (1)
//
//   max       y[n,i,j,c] = max over (1) of x[n, sy*i - top + u, sx*j - left + v, c]    tap = v*kh + u of the first such
//   average   y[n,i,j,c] = sum over (1) of x[...] / m(i,j)                             m = the number of pairs in (1)
//
// Backward every pixel (a, e) gathers from the windows that hold it.  a = sy*i - top + u with 0 <= u < kh means
//
//   i from max(0, ceil((a + top - kh + 1) / sy)) to min(H' - 1, floor((a + top) / sy))     and j likewise          (2)
//
//   max       dx[n,a,e,c] = sum over (2) of dy[n,i,j,c] where tap[n,i,j,c] = (e + left - sx*j)*kh + a + top - sy*i
//   average   dx[n,a,e,c] = sum over (2) of dy[n,i,j,c] / m(i,j)
//
// One thread makes one entry of the output.  Launch: 256 threads; blockIdx.x counts the rows (n, i) of the output image
// and the blocks of one row go on along y, up to 65535 of them, after which they start over (`row_entries`).

#include "../cuda/simt.cuh"

struct PoolShape {
  int height, width;                 // of x
  int rows, columns;                 // of y
  int channels;
  int kh, kw, sy, sx, top, left;
};

struct Range { int begin, end; };

// The taps u of window i that lie in the image: (1).
__device__ __forceinline__ Range inside(int i, int window, int step, int before, int size) {
  const int start = step * i - before;
  return {max(0, -start), min(window, size - start)};
}

// The windows i that hold pixel a: (2).
__device__ __forceinline__ Range holding(int a, int window, int step, int before, int count) {
  const int first = a + before - window + 1;
  return {first > 0 ? (first + step - 1) / step : 0, min(count, (a + before) / step + 1)};
}

// Call visit(column, channel, offset) for this thread's entries of row blockIdx.x of an image `width` wide.
template <class Visit> __device__ __forceinline__ void row_entries(int width, int channels, Visit visit) {
  const i64 row = (i64)width * channels;
  for (i64 t = (i64)blockIdx.y * blockDim.x + threadIdx.x; t < row; t += (i64)gridDim.y * blockDim.x) {
    const int column = int(t / channels), channel = int(t - (i64)column * channels);
    visit(column, channel, blockIdx.x * row + t);
  }
}

template <typename T, typename Tap>
__global__ void max_pool_forward(PoolShape s, const T* __restrict__ x, T* y, Tap* tap) {
  const i64 n = blockIdx.x / s.rows;
  const int i = blockIdx.x % s.rows, C = s.channels;
  const Range us = inside(i, s.kh, s.sy, s.top, s.height);
  const T* image = x + n * s.height * s.width * C;
  row_entries(s.columns, C, [&](int j, int c, i64 at) {
    const Range vs = inside(j, s.kw, s.sx, s.left, s.width);
    auto value = [&](int u, int v) {
      return image[((i64)(s.sy * i - s.top + u) * s.width + s.sx * j - s.left + v) * C + c];
    };
    int chosen = vs.begin * s.kh + us.begin;
    T best = value(us.begin, vs.begin);
    for (int v = vs.begin; v < vs.end; v++)
      for (int u = us.begin; u < us.end; u++) {
        const T here = value(u, v);
        if (here > best) chosen = v * s.kh + u;
        if (here > best || here != here) best = here;  // NaN stays: nothing is greater
      }
    y[at] = best;
    tap[at] = Tap(chosen);
  });
}

template <typename T, typename Tap>
__global__ void max_pool_backward(PoolShape s, const T* __restrict__ dy, const Tap* __restrict__ tap, T* dx) {
  const i64 n = blockIdx.x / s.height;
  const int a = blockIdx.x % s.height, C = s.channels;
  const Range is = holding(a, s.kh, s.sy, s.top, s.rows);
  const i64 image = n * s.rows * s.columns * C;
  row_entries(s.width, C, [&](int e, int c, i64 at) {
    const Range js = holding(e, s.kw, s.sx, s.left, s.columns);
    T sum = 0;
    for (int i = is.begin; i < is.end; i++)
      for (int j = js.begin; j < js.end; j++) {
        const i64 from = image + ((i64)i * s.columns + j) * C + c;
        if (int(tap[from]) == (e + s.left - s.sx * j) * s.kh + a + s.top - s.sy * i) sum += dy[from];
      }
    dx[at] = sum;
  });
}

template <typename T>
__global__ void avg_pool_forward(PoolShape s, const T* __restrict__ x, T* y) {
  const i64 n = blockIdx.x / s.rows;
  const int i = blockIdx.x % s.rows, C = s.channels;
  const Range us = inside(i, s.kh, s.sy, s.top, s.height);
  const T* image = x + n * s.height * s.width * C;
  row_entries(s.columns, C, [&](int j, int c, i64 at) {
    const Range vs = inside(j, s.kw, s.sx, s.left, s.width);
    T sum = 0;
    for (int v = vs.begin; v < vs.end; v++)
      for (int u = us.begin; u < us.end; u++)
        sum += image[((i64)(s.sy * i - s.top + u) * s.width + s.sx * j - s.left + v) * C + c];
    y[at] = sum / T((i64)(us.end - us.begin) * (vs.end - vs.begin));
  });
}

template <typename T>
__global__ void avg_pool_backward(PoolShape s, const T* __restrict__ dy, T* dx) {
  const i64 n = blockIdx.x / s.height;
  const int a = blockIdx.x % s.height, C = s.channels;
  const Range is = holding(a, s.kh, s.sy, s.top, s.rows);
  const i64 image = n * s.rows * s.columns * C;
  row_entries(s.width, C, [&](int e, int c, i64 at) {
    const Range js = holding(e, s.kw, s.sx, s.left, s.columns);
    T sum = 0;
    for (int i = is.begin; i < is.end; i++) {
      const Range us = inside(i, s.kh, s.sy, s.top, s.height);
      for (int j = js.begin; j < js.end; j++) {
        const Range vs = inside(j, s.kw, s.sx, s.left, s.width);
        sum += dy[image + ((i64)i * s.columns + j) * C + c] / T((i64)(us.end - us.begin) * (vs.end - vs.begin));
      }
    }
    dx[at] = sum;
  });
}

// instances: max_pool_forward<float, unsigned char>, max_pool_forward<double, unsigned char>
// instances: max_pool_backward<float, unsigned char>, max_pool_backward<double, unsigned char>
// instances: max_pool_forward<float, int>, max_pool_forward<double, int>
// instances: max_pool_backward<float, int>, max_pool_backward<double, int>
