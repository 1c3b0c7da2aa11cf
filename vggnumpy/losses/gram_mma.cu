// Gram matrices on tensor cores (mma.sync, compute capability 8.0 and up): G = FᵀF for features F of M positions × C
// channels, what the style loss makes of it, and the product that carries the derivative back.  Formulas (1) and (2):
// losses/gram.py.
//
// Three kernels, in this order:
//   gram_partial     parts of G: 64×64 channels, over some of the positions
//   gram_finish      the parts added in a fixed order; the loss and Z = S + Sᵀ
//   gram_cotangent   ∂L/∂F = F Z
// No atomics: the same features give the same bits every time.
//
// Precision, in all three: FP32 as three products of tf32 parts, TF32 rounded, BF16 features (which are tf32 exactly,
// so gram_partial multiplies them as tf32).  See cuda/mma_step.cuh.
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"
#include "../cuda/mma_step.cuh"

constexpr int SIDE = 64, DEPTH = 32, PARTIAL_THREADS = 128, PARTIAL_STAGES = 3;

// Tiles I ≤ J of G in order (0,0), (0,1), …, (0,n-1), (1,1), …
struct Pair { int I, J; };
__device__ __forceinline__ Pair pair_of(int number, int tiles) {
  int I = 0;
  while (number >= tiles - I) number -= tiles - I++;
  return {I, I + number};
}

// Whether a position of maps N×H×W is in the window, rows [top, bottom) and columns [left, right) of each; H = 0: all
// are.  What is outside is read as 0: it adds nothing to G, and its derivative F Z is 0.
struct Window { int height, width, top, bottom, left, right; };
__device__ __forceinline__ bool in_window(const Window& w, i64 position) {
  if (!w.height) return true;
  unsigned p = (unsigned)position, row = p / (unsigned)w.width;  // a map has fewer than 2³² positions
  int x = (int)(p - row * (unsigned)w.width), y = (int)(row % (unsigned)w.height);
  return y >= w.top && y < w.bottom && x >= w.left && x < w.right;
}

// ---- parts of G ----
// Block b makes tile `b % pairs` over positions [chunk·s, chunk·(s + 1)), s = b / pairs: the blocks that read the same
// positions run together.  4 warps, 32×32 each.  DEPTH positions at a time come to shared memory as they lie, a row of
// 64 channels for each position; both operands of mma are read from there word by word: A[g][t] is F[t][g], so a lane
// reads row t, column g.  Rows are 64 + 8 floats (or 64 + 16 bf16: 40 words) apart, so that t moves by 8 banks and g by
// one (bf16: two lanes share a word).  3 stages × 2 tiles × 32 rows × 288 (160) bytes = 55296 (30720) bytes.
template <class T> struct Rows { static constexpr int PITCH = SIDE + 32 / sizeof(T); };

// partial[block][64][64] of N = M positions; blocks = pairs · ⌈M / chunk⌉, of 128 threads.
// instances: gram_partial<FP32>, gram_partial<TF32>, gram_partial<BF16>
template <int P, class T = typename Map<P>::T>
__global__ void __launch_bounds__(PARTIAL_THREADS, 4)
gram_partial(const T* features, i64 positions, int C, int chunk, float* partial, int height, int width, int top,
             int bottom, int left_end, int right_end) {
  Window window = {height, width, top, bottom, left_end, right_end};
  constexpr int PITCH = Rows<T>::PITCH, EACH = 16 / sizeof(T), TILE = DEPTH * PITCH;
  DYN_SHARED(T, shared);
  int tiles = (C + SIDE - 1) / SIDE, pairs = tiles * (tiles + 1) / 2;
  Pair pair = pair_of(blockIdx.x % pairs, tiles);
  i64 first = (i64)(blockIdx.x / pairs) * chunk, end = min(first + chunk, positions);
  int steps = (int)((end - first + DEPTH - 1) / DEPTH);
  bool diagonal = pair.I == pair.J;  // then both tiles are one

  auto copy = [&](int step) {
    for (int i = threadIdx.x; i < DEPTH * SIDE / EACH * (diagonal ? 1 : 2); i += PARTIAL_THREADS) {
      int which = i / (DEPTH * SIDE / EACH), row = i / (SIDE / EACH) % DEPTH, column = i % (SIDE / EACH) * EACH;
      int c = (which ? pair.J : pair.I) * SIDE + column;
      i64 position = first + step * DEPTH + row;
      bool inside = position < end && c < C && in_window(window, position);
      T* to = shared + (step % PARTIAL_STAGES * 2 + which) * TILE + row * PITCH + column;
      ptx_cp_async16(to, features + (inside ? position * C + c : 0), inside);
    }
  };
  int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  int m = (threadIdx.x >> 6) * 32, n = (threadIdx.x >> 5 & 1) * 32;
  for (int step = 0; step < PARTIAL_STAGES - 1; step++) {
    if (step < steps) copy(step);
    ptx_cp_commit();
  }
  float total[2][4][4] = {};
  for (int step = 0; step < steps; step++) {
    ptx_cp_wait<PARTIAL_STAGES - 2>();  // groups 0 … step have landed
    __syncthreads();                    // for everyone, and step - 1 is read: its stage is filled now
    if (step + PARTIAL_STAGES - 1 < steps) copy(step + PARTIAL_STAGES - 1);
    ptx_cp_commit();
    const T* left = shared + step % PARTIAL_STAGES * 2 * TILE + m + g;
    const T* right = shared + (step % PARTIAL_STAGES * 2 + !diagonal) * TILE + n + g;
    float sum[2][4][4] = {};  // a step sums by itself, see mma_step.cuh; with thousands of positions in every precision
#pragma unroll
    for (int k = 0; k < DEPTH; k += 8) {
      unsigned A[2][4], B[4][2], a_low[2][4], b_low[4][2];
#pragma unroll
      for (int e = 0; e < 8; e++)
        A[e >> 2][e & 3] = __float_as_uint(widen(left[(k + t + (e & 2) * 2) * PITCH + (e >> 2) * 16 + (e & 1) * 8]));
#pragma unroll
      for (int e = 0; e < 8; e++)
        B[e >> 1][e & 1] = __float_as_uint(widen(right[(k + t + (e & 1) * 4) * PITCH + (e >> 1) * 8]));
      if (P == FP32) split(A[0], a_low[0], 8), split(B[0], b_low[0], 8);
#pragma unroll
      for (int e = 0; e < 8; e++)
        if (P == TF32) A[0][e] = ptx_tf32(__uint_as_float(A[0][e])), B[0][e] = ptx_tf32(__uint_as_float(B[0][e]));
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
          if (P == FP32) ptx_mma_tf32(sum[i][j], a_low[i], B[j]), ptx_mma_tf32(sum[i][j], A[i], b_low[j]);
          ptx_mma_tf32(sum[i][j], A[i], B[j]);
        }
    }
#pragma unroll
    for (int i = 0; i < 32; i++) total[0][0][i] += sum[0][0][i];
  }
  float* target = partial + (i64)blockIdx.x * SIDE * SIDE;
#pragma unroll
  for (int e = 0; e < 16; e++) {  // i = e >> 3, j = e >> 1 & 3, half = e & 1
    const float* two = total[e >> 3][e >> 1 & 3] + 2 * (e & 1);
    int row = m + (e >> 3) * 16 + g + 8 * (e & 1), column = n + (e >> 1 & 3) * 8 + 2 * t;
    *(float2*)(target + row * SIDE + column) = make_float2(two[0], two[1]);
  }
}

// ---- the sum of the parts, the loss, and Z ----
//   G_ij = Σ_s partial_s,   R = G/M − A/M_a,   L = k Σ R²,   Z_ij = S_ij + S_ji = 2k/M · (R_ij + R_ji)
// `over` is 1/M, A comes divided by M_a, `slope` is 2k/M.  A block makes 32 entries of a tile; 8 threads share one,
// each adding every eighth part, in double; the entries i > j of a tile I = J are left to their mirror images, so G is
// symmetric to the bit.  squares[block] is the block's part of Σ R²; pointers that are 0 are not wanted.
constexpr int FINISH_THREADS = 256;

__device__ __forceinline__ void put(float* p, float x, bool round) { *p = round ? __uint_as_float(ptx_tf32(x)) : x; }
__device__ __forceinline__ void put(bf16* p, float x, bool) { *p = (bf16)ptx_bf16x2(x, 0); }

// pairs · 128 blocks of 256 threads.
// instances: gram_finish<FP32>, gram_finish<TF32>, gram_finish<BF16>
template <int P, class T = typename Map<P>::T>
__global__ void __launch_bounds__(FINISH_THREADS)
gram_finish(const float* partial, int parts, int C, float* G, const float* A, double over, double slope, T* Z,
            double* squares) {
  __shared__ double share[FINISH_THREADS];
  int tiles = (C + SIDE - 1) / SIDE, pairs = tiles * (tiles + 1) / 2, number = blockIdx.x / 128;
  int entry = blockIdx.x % 128 * 32 + threadIdx.x % 32, each = threadIdx.x / 32;
  double sum = 0;
#pragma unroll 8
  for (int s = each; s < parts; s += 8) sum += partial[((i64)s * pairs + number) * SIDE * SIDE + entry];
  share[threadIdx.x] = sum;
  __syncthreads();
  if (each) return;
  for (int other = 1; other < 8; other++) sum += share[threadIdx.x + 32 * other];
  Pair pair = pair_of(number, tiles);
  int i = pair.I * SIDE + entry / SIDE, j = pair.J * SIDE + entry % SIDE;
  bool mine = i <= j && j < C;
  i64 here = (i64)i * C + j, mirrored = (i64)j * C + i;
  if (mine && G) G[here] = G[mirrored] = (float)sum;
  if (!A) return;
  double upper = mine ? sum * over - A[here] : 0, lower = mine ? sum * over - A[mirrored] : 0;
  if (mine) put(Z + here, (float)(slope * (upper + lower)), P == TF32);
  if (mine) put(Z + mirrored, (float)(slope * (upper + lower)), P == TF32);
  double square = upper * upper + (i != j ? lower * lower : 0);
  for (int offset = 16; offset; offset /= 2) square += __shfl_down_sync(0xffffffffu, square, offset);
  if (threadIdx.x == 0) squares[blockIdx.x] = square;
}

// ---- the derivative: out = F Z (+ added), Z symmetric ----
// A block makes 128 positions × 64 channels with 8 warps (4 × 2 of 32×32); the depth C in slices of 128 bytes.  Rows
// k of Z are its columns too, so they are what mma wants for B.  3 stages × (128 + 64) rows × 144 = 82944 bytes.
constexpr int POSITIONS = 128, CHANNELS = 64, THREADS = 256, STAGES = 3;

// ⌈M / 128⌉ · ⌈C / 64⌉ blocks of 256 threads.  `out` may be `added`, and for C ≤ 64 the features themselves: a block
// then reads no positions but its own, and has read them all before it writes.
// instances: gram_cotangent<FP32>, gram_cotangent<TF32>, gram_cotangent<BF16>
template <int P, class T = typename Map<P>::T>
__global__ void __launch_bounds__(THREADS, 2)
gram_cotangent(const T* features, const T* Z, i64 positions, int C, const T* added, T* out, int height, int width,
               int top, int bottom, int left_end, int right_end) {
  Window window = {height, width, top, bottom, left_end, right_end};
  constexpr int EACH = 16 / sizeof(T), STAGE = (POSITIONS + CHANNELS) * ROW;
  DYN_SHARED(char, shared);
  int across = (C + CHANNELS - 1) / CHANNELS, k0 = blockIdx.x % across * CHANNELS, warp = threadIdx.x >> 5;
  int lane = threadIdx.x & 31, m = (warp >> 1) * 32, n = (warp & 1) * 32, steps = (C * (int)sizeof(T) + 127) / 128;
  i64 first = (i64)(blockIdx.x / across) * POSITIONS;

  auto copy = [&](int step) {
#pragma unroll 2
    for (int i = threadIdx.x; i < (POSITIONS + CHANNELS) * 8; i += THREADS) {
      int row = i >> 3, c = (step * 8 + (i & 7)) * EACH;
      bool isA = row < POSITIONS, inside = c < C;
      inside = inside && (isA ? first + row < positions && in_window(window, first + row) : k0 + row - POSITIONS < C);
      const T* from = isA ? features + (first + row) * C + c : Z + (i64)(k0 + row - POSITIONS) * C + c;
      ptx_cp_async16(shared + step % STAGES * STAGE + row * ROW + (i & 7) * 16, inside ? from : features, inside);
    }
  };
  for (int step = 0; step < STAGES - 1; step++) {
    if (step < steps) copy(step);
    ptx_cp_commit();
  }
  const char* a = shared + (m + (lane & 15)) * ROW + (lane >> 4) * 16;
  const char* b = shared + (POSITIONS + n + (lane >> 4) * 8 + (lane & 7)) * ROW + (lane >> 3 & 1) * 16;
  float total[2][4][4] = {};
  for (int step = 0; step < steps; step++) {
    ptx_cp_wait<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < steps) copy(step + STAGES - 1);
    ptx_cp_commit();
    if (P != FP32) {
      multiply_step<P, 2, 16>(total, a + step % STAGES * STAGE, b + step % STAGES * STAGE);
    } else {
      float sum[2][4][4] = {};
      multiply_step<P, 2, 16>(sum, a + step % STAGES * STAGE, b + step % STAGES * STAGE);
#pragma unroll
      for (int i = 0; i < 32; i++) total[0][0][i] += sum[0][0][i];
    }
  }
  __syncthreads();
  constexpr int PITCH = CHANNELS + 8;  // see conv_epilogue.cuh
  float* tile = (float*)shared;
#pragma unroll
  for (int e = 0; e < 16; e++) {
    const float* two = total[e >> 3][e >> 1 & 3] + 2 * (e & 1);
    int row = m + (e >> 3) * 16 + (lane >> 2) + 8 * (e & 1), column = n + (e >> 1 & 3) * 8 + 2 * (lane & 3);
    *(float2*)(tile + row * PITCH + column) = make_float2(two[0], two[1]);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < POSITIONS * CHANNELS / 4; i += THREADS) {
    int row = i / (CHANNELS / 4), c = i % (CHANNELS / 4) * 4;
    if (first + row >= positions || k0 + c >= C) continue;
    float4 d = load4(tile + row * PITCH + c);
    i64 at = (first + row) * C + k0 + c;
    store4(out + at, added ? add4(d, load4(added + at)) : d);
  }
}
