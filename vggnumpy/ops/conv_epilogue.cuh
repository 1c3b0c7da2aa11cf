// What a convolution on tensor cores does with a tile of its output before it goes to memory.
//
// The tile lies in shared memory, in fp32: tile[m * PITCH + n] is pixel m = 16 * row + column of ROWS rows of 16
// pixels, channel n of BN.  PITCH = BN + 8, so that the accumulators' pairs (lane 4g + t writes row g, channels 2t and
// 2t + 1: words 8g + 2t modulo 32, each bank once in half a warp) and the float4 read here (128 bytes in a row) hit
// every bank once.  A thread handles 4 neighbouring channels of a pixel or of a 2×2 window, so that memory sees 16 bytes a
// thread and whole sectors.
//
// Maps are N×H×W×K in C order, of type T: float, or bf16.  A pointer that is 0 means "not wanted".
// Bits: channel k of a position is bit k % 32 of word k / 32 of its ⌈K/32⌉ words.

__device__ __forceinline__ float4 relu4(float4 a) {  // NaN stays NaN
  return make_float4(a.x < 0 ? 0 : a.x, a.y < 0 ? 0 : a.y, a.z < 0 ? 0 : a.z, a.w < 0 ? 0 : a.w);
}
__device__ __forceinline__ unsigned positive4(float4 a) {
  return (a.x > 0) | (a.y > 0) << 1 | (a.z > 0) << 2 | (a.w > 0) << 3;
}
__device__ __forceinline__ float4 where4(unsigned bits, float4 a) {  // a where the bit is 1, else 0
  return make_float4(bits & 1 ? a.x : 0, bits & 2 ? a.y : 0, bits & 4 ? a.z : 0, bits & 8 ? a.w : 0);
}

// The word of 32 channels that eight neighbouring lanes have four bits of each; all of them get it.
__device__ __forceinline__ unsigned gather_word(unsigned bits, int eighth) {
  unsigned word = bits << 4 * eighth;
  word |= __shfl_xor_sync(0xffffffffu, word, 1);
  word |= __shfl_xor_sync(0xffffffffu, word, 2);
  return word | __shfl_xor_sync(0xffffffffu, word, 4);
}
// The four bits of channels k … k + 3 of a position.
__device__ __forceinline__ unsigned four_bits(const unsigned* words, i64 position, int k, int K) {
  return words[position * ((K + 31) / 32) + k / 32] >> k % 32 & 15;
}

enum Pool { NO_POOL, AVERAGE, MAXIMUM };

// Which tile of the output a block computes: image n, first row and column y, x, first channel k; of N×H×W×K.
struct Place { int n, y, x, k, H, W, K; };

// Tiles are numbered with the channels fastest: blocks that read the same pixels run together and meet in L2.
template <int ROWS, int BN> __device__ __forceinline__ Place place_of(int number, int H, int W, int K) {
  int channels = (K + BN - 1) / BN, columns = (W + 15) / 16, rows = (H + ROWS - 1) / ROWS, pixels = number / channels;
  int n = pixels / (columns * rows), y = pixels / columns % rows, x = pixels % columns, k = number % channels;
  return {n, y * ROWS, x * 16, k * BN, H, W, K};
}

// ---- forward: a = tile + bias,  y = max(a, 0),  then 2×2 windows with stride 2 ----
template <class T> struct Forward {
  const float* bias;   // K
  T* before;           // a
  T* out;              // y
  unsigned* mask;      // y > 0, N×H×W×⌈K/32⌉ words
  T* pooled;           // N×h×w×K: the mean or the maximum of the pixels of the window that exist
  unsigned* windows;   // of the maxima, 3 × N×h×w×⌈K/32⌉ words: is it positive, from the right column, the lower row
  int pool, N, h, w;
};

// Of equal entries the first in column order counts: (0,0), (1,0), (0,1), (1,1), as in `max_pool`.
__device__ __forceinline__ void take_larger(float candidate, float& best, unsigned& from, unsigned code, int bit) {
  if (candidate > best || candidate != candidate) best = candidate, from = (from & ~(0x11u << bit)) | code << bit;
}

template <int ROWS, int BN, int THREADS, class T>
__device__ __forceinline__ void forward_epilogue(const float* tile, int thread, Place at, Forward<T> f) {
  constexpr int PITCH = BN + 8, GROUPS = BN / 4;
  for (int item = thread; item < 4 * ROWS * GROUPS; item += THREADS) {
    int group = item % GROUPS, window = item / GROUPS, k = at.k + 4 * group;
    int wy = 2 * (window / 8), wx = 2 * (window % 8), words = (at.K + 31) / 32;
    bool exists = k < at.K;
    float4 bias = exists ? load4(f.bias + k) : make_float4(0, 0, 0, 0), sum = make_float4(0, 0, 0, 0), best = sum;
    unsigned from = 0;  // bits 0-3: right, bits 4-7: lower, of the four channels
    int inside = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int down = i & 1, right = i >> 1, y = at.y + wy + down, x = at.x + wx + right;
      float4 a = add4(load4(tile + (16 * (wy + down) + wx + right) * PITCH + 4 * group), bias), r = relu4(a);
      bool ok = exists && y < at.H && x < at.W;
      i64 pixel = ((i64)at.n * at.H + y) * at.W + x;
      if (ok && f.before) store4(f.before + pixel * at.K + k, a);
      if (ok && f.out) store4(f.out + pixel * at.K + k, r);
      if (f.mask) {  // the same for all threads, as the shuffles need
        unsigned word = gather_word(exists ? positive4(a) : 0, group % 8);
        if (ok && group % 8 == 0) f.mask[pixel * words + k / 32] = word;
      }
      if (f.pool != NO_POOL && ok) {
        if (f.pool == AVERAGE) sum = add4(sum, r);
        if (f.pool == MAXIMUM && inside == 0) best = r;
        if (f.pool == MAXIMUM && inside) {
          unsigned code = right | down << 4;
          take_larger(r.x, best.x, from, code, 0);
          take_larger(r.y, best.y, from, code, 1);
          take_larger(r.z, best.z, from, code, 2);
          take_larger(r.w, best.w, from, code, 3);
        }
        inside++;
      }
    }
    if (f.pool == NO_POOL) continue;
    int py = (at.y + wy) / 2, px = (at.x + wx) / 2;
    bool ok = exists && py < f.h && px < f.w;
    i64 position = ((i64)at.n * f.h + py) * f.w + px, plane = (i64)f.N * f.h * f.w * words;
    if (f.pool == AVERAGE && ok) store4(f.pooled + position * at.K + k, scale4(sum, 1.0f / inside));
    if (f.pool == MAXIMUM) {
      unsigned positive = gather_word(exists ? positive4(best) : 0, group % 8);
      unsigned column = gather_word(exists ? from & 15 : 0, group % 8);
      unsigned row = gather_word(exists ? from >> 4 : 0, group % 8);
      if (ok) store4(f.pooled + position * at.K + k, best);
      if (ok && group % 8 == 0) {
        unsigned* target = f.windows + position * words + k / 32;
        target[0] = positive, target[plane] = column, target[2 * plane] = row;
      }
    }
  }
}

// ---- backward: the tile is d, the derivative with respect to what the layer above read ----
//   no pool:  e = d
//   average:  e = (d + pool_added) / (pixels in the window), at each pixel of the window
//   maximum:  e = (d + pool_added) where the maximum came from if it is positive, else 0
//   dz = mask · (e + added) + added_before;   pixels in no window have e = 0
template <class T> struct Backward {
  const T* pool_added;      // N×h×w×K: a loss's derivative at the pool's output
  const T* added;           // N×H×W×K: at the rectifier's output
  const T* added_before;    // N×H×W×K: at the rectifier's input
  const unsigned* mask;     // 1 where the rectifier let its input through
  const unsigned* windows;  // as in Forward
  T* out;                   // dz, N×H×W×K; may be one of `added`, `added_before`
  int pool, N, h, w, H, W;  // the pool's output, and the rectifier's; without a pool H, W are the tile's map
};

template <class T>
__device__ __forceinline__ void backward_pixel(const Backward<T>& b, int n, int y, int x, int k, int K, float4 e) {
  i64 pixel = ((i64)n * b.H + y) * b.W + x;
  if (b.added) e = add4(e, load4(b.added + pixel * K + k));
  if (b.mask) e = where4(four_bits(b.mask, pixel, k, K), e);
  if (b.added_before) e = add4(e, load4(b.added_before + pixel * K + k));
  store4(b.out + pixel * K + k, e);
}

// What becomes of d, four channels from k of pixel (y, x) of a map of K channels: the window's, if there is a pool.
template <class T>
__device__ __forceinline__ void backward_item(const Backward<T>& b, int n, int y, int x, int k, int K, float4 d) {
  if (b.pool == NO_POOL) {
    backward_pixel(b, n, y, x, k, K, d);
    return;
  }
  bool window = y < b.h && x < b.w;
  int rows = min(2, b.H - 2 * y), columns = min(2, b.W - 2 * x);
  i64 position = ((i64)n * b.h + y) * b.w + x, plane = (i64)b.N * b.h * b.w * ((K + 31) / 32);
  unsigned column = 0, row = 0;
  if (!window) d = make_float4(0, 0, 0, 0);
  if (window && b.pool_added) d = add4(d, load4(b.pool_added + position * K + k));
  if (b.pool == AVERAGE) d = scale4(d, 1.0f / (rows * columns));
  if (b.pool == MAXIMUM && window) {
    d = where4(four_bits(b.windows, position, k, K), d);
    column = four_bits(b.windows + plane, position, k, K);
    row = four_bits(b.windows + 2 * plane, position, k, K);
  }
  for (int i = 0; i < 4; i++) {
    int down = i & 1, right = i >> 1;
    unsigned here = (right ? column : ~column) & (down ? row : ~row);
    if (down < rows && right < columns)
      backward_pixel(b, n, 2 * y + down, 2 * x + right, k, K, b.pool == MAXIMUM ? where4(here, d) : d);
  }
}

// With a pool, the tile's map is ⌈H/2⌉×⌈W/2⌉ (at.H, at.W), so that pixels in no window are written too.
template <int ROWS, int BN, int THREADS, class T>
__device__ __forceinline__ void backward_epilogue(const float* tile, int thread, Place at, Backward<T> b) {
  constexpr int PITCH = BN + 8, GROUPS = BN / 4;
  for (int item = thread; item < 16 * ROWS * GROUPS; item += THREADS) {
    int group = item % GROUPS, m = item / GROUPS, k = at.k + 4 * group, y = at.y + m / 16, x = at.x + m % 16;
    if (k < at.K && y < at.H && x < at.W) backward_item(b, at.n, y, x, k, at.K, load4(tile + m * PITCH + 4 * group));
  }
}
