// The 3×3 convolution with stride 1 on Hopper (sm_90a), by TMA and wgmma, in tf32 or bf16.  What is computed, and what
// happens to the result, is as in conv_mma.cu and conv_epilogue.cuh; the data gradient, too, is this kernel.
//
// A tile is 16×16 pixels × BN = 128 or 64 channels.  Blocks are persistent: one for each multiprocessor, block b makes
// tiles b, b + blocks, …  Three warpgroups: one *producer*, of which a single thread starts the copies, and two
// *consumers*, each with 8 of the tile's rows (128 pixels), which multiply and write.
//
// The input.  Of a slice of 128 bytes of channels (32 floats, 64 bf16) the nine taps reach 18×18 pixels.  Three *boxes*
// of 18 rows × 16 pixels are copied, one for each dx, from column x₀ + dx - pad and row y₀ - pad; what is outside the
// map TMA fills with zeros.  In a box tap dy is an offset of dy rows of 16 · 128 = 2048 bytes; the swizzle
// repeats after 1024, so from any of the rows on it is a proper operand of wgmma:
//     tap (dy, dx), row r:    box dx + (r + dy) · 2048          0 ≤ r < 16, 0 ≤ dy < 3, so r + dy < 18
// X is read 3·18/16 = 3.4 times instead of 9.  The filters of each tap, BN rows of 128 bytes, are copied one by one.
//
// The product, C[64×128] += A[64×k] B[128×k]ᵀ, k = 32 bytes, accumulators in registers:
//     BN = 128:  A = 64 pixels (4 rows), B = 128 output channels; twice, for 8 rows: 128 registers of sums
//     BN = 64:   A = 64 output channels, B = 128 pixels (8 rows): "swapped"; 64 registers.  A has 64 rows always, so
//                this keeps the wide operand wide; both load 192 rows of shared memory for 64×128 products.
//
// Shared memory, bytes:                        BN = 128     BN = 64
//   boxes     3 stages × 18·16·128               110592      110592
//   filters   5 stages × BN·128                   81920       40960
//   epilogue  2 warpgroups × 64 × 72 × 4          36864       36864      64 pixels × 64 channels at a time
//   barriers  13 × 8                                104         104
//   together                                     229480      188520      of 232448
// An mbarrier `full` says that a stage's bytes have landed, `tap_empty` that all 8 consumer warps have read a tap's
// filters.  The boxes need no such barrier: taps are read in order, so when the producer has been let into tap i's
// stage, tap i - TAPS and all before it were read.  Box b is started after tap 3b - 1, so tap 3b - 1 - TAPS was read,
// and what lay in its stage, box b - BOXES, served taps up to 3(b - BOXES) + 2: no later one if TAPS ≤ 3·BOXES - 3.
//
// Precision.  TMA rounds fp32 to tf32 as it copies a map of type TFLOAT32; the filters come rounded anyway.
#include "../cuda/ptx.cuh"
#include "../cuda/maps.cuh"
#include "conv_epilogue.cuh"

enum Precision { FP32, TF32, BF16 };
template <int P> struct Map { typedef float T; };
template <> struct Map<BF16> { typedef bf16 T; };

constexpr int BOX = 18 * 16 * 128, BOXES = 3, TAPS = 5, CONSUMERS = 2, THREADS = 128 * (1 + CONSUMERS);
static_assert(TAPS <= 3 * BOXES - 3, "a box could be overwritten while it is read");
constexpr int STAGING = 64 * 72 * 4;
template <int BN> constexpr int SHARED = BOXES * BOX + TAPS * BN * 128 + CONSUMERS * STAGING + (BOXES + 2 * TAPS) * 8;
static_assert(SHARED<128> == 229480 && SHARED<64> == 188520, "conv_tensor_cuda.py says so too");

// A ring of stages: where one is, and the parity of the phase that its barrier is in.
template <int STAGES> struct Ring {
  int stage = 0;
  unsigned phase = 0;
  __device__ __forceinline__ void next() {
    if (++stage == STAGES) stage = 0, phase ^= 1;
  }
};

template <int BN> struct Shared {
  char *boxes, *filters, *staging;
  ptx_mbar *box_full, *tap_full, *tap_empty;
  __device__ __forceinline__ explicit Shared(char* start)
      : boxes(start), filters(start + BOXES * BOX), staging(filters + TAPS * BN * 128),
        box_full((ptx_mbar*)(staging + CONSUMERS * STAGING)), tap_full(box_full + BOXES), tap_empty(tap_full + TAPS) {}
};

// What there is to do: X is N×H×W×C, the tiles cover Ho×Wo×K.
struct Work { int tiles, Ho, Wo, K, C, pad; };

// The producer's thread.  To wait for the parity before the first is to wait for nothing: the stages begin empty.
template <int P, int BN>
__device__ __forceinline__ void produce(Shared<BN> shared, const TensorMap* input, const TensorMap* filters,
                                        Work work) {
  constexpr int SLICE = 128 / sizeof(typename Map<P>::T);
  Ring<BOXES> box;
  Ring<TAPS> tap;
  for (int tile = blockIdx.x; tile < work.tiles; tile += gridDim.x) {
    Place at = place_of<16, BN>(tile, work.Ho, work.Wo, work.K);
    for (int c = 0; c < work.C; c += SLICE)
      for (int dx = 0; dx < 3; dx++, box.next()) {
        ptx_mbar_expect(shared.box_full + box.stage, BOX);
        ptx_tma4(shared.boxes + box.stage * BOX, input, c, at.x + dx - work.pad, at.y - work.pad, at.n,
                 shared.box_full + box.stage);
        for (int dy = 0; dy < 3; dy++, tap.next()) {
          ptx_mbar_wait(shared.tap_empty + tap.stage, tap.phase ^ 1);
          ptx_mbar_expect(shared.tap_full + tap.stage, BN * 128);
          ptx_tma3(shared.filters + tap.stage * BN * 128, filters, c, at.k, 3 * dy + dx, shared.tap_full + tap.stage);
        }
      }
  }
}

template <int P> __device__ __forceinline__ void multiply(float* sum, const char* a, const char* b) {
  if (P == BF16) ptx_wgmma_bf16<128>(sum, ptx_descriptor(a), ptx_descriptor(b));
  else ptx_wgmma_tf32<128>(sum, ptx_descriptor(a), ptx_descriptor(b));
}

// One tile's products of consumer `who`.  Products of a tap are one group; when at most one group is under way, the
// groups before it are done, and what they read may be overwritten.
template <int P, int BN>
__device__ __forceinline__ void consume(float (*sum)[64], Shared<BN> shared, int who, int C, Ring<BOXES>& box,
                                        Ring<TAPS>& tap) {
  constexpr int SLICE = 128 / sizeof(typename Map<P>::T), HALVES = BN / 64;
  bool speaks = (threadIdx.x & 31) == 0;  // one lane of each warp says that the warp has read
  int last_tap = -1;
#pragma unroll
  for (int i = 0; i < HALVES * 64; i++) sum[0][i] = 0;
  for (int slice_dx = 0; slice_dx < 3 * ((C + SLICE - 1) / SLICE); slice_dx++, box.next()) {
    ptx_mbar_wait(shared.box_full + box.stage, box.phase);
    for (int dy = 0; dy < 3; dy++, tap.next()) {
      ptx_mbar_wait(shared.tap_full + tap.stage, tap.phase);
      const char* pixels = shared.boxes + box.stage * BOX + (8 * who + dy) * 2048;
      const char* filters = shared.filters + tap.stage * BN * 128;
      ptx_wgmma_fence();
#pragma unroll
      for (int part = 0; part < 128; part += 32) {
        if (BN == 64) multiply<P>(sum[0], filters + part, pixels + part);
#pragma unroll
        for (int half = 0; BN == 128 && half < 2; half++)
          multiply<P>(sum[half], pixels + half * 4 * 2048 + part, filters + part);
      }
      ptx_wgmma_commit();
      ptx_wgmma_wait<1>();
      if (speaks && last_tap >= 0) ptx_mbar_arrive(shared.tap_empty + last_tap);
      last_tap = tap.stage;
    }
  }
  ptx_wgmma_wait<0>();
  if (speaks) ptx_mbar_arrive(shared.tap_empty + last_tap);
}

// Lay 64 pixels (4 rows) × 64 channels of the sums out for the epilogue, see conv_epilogue.cuh.  Thread 32w + 4g + t
// holds of C rows 16w + g + 8·half and columns 8j + 2t, 8j + 2t + 1; of the 128 columns 64 are meant, by `part`.  Rows
// are pixels and columns channels; swapped, rows are channels and columns pixels.
template <bool SWAPPED> __device__ __forceinline__ void lay_out(float* tile, const float* sum, int part, int thread) {
  int row = thread / 32 * 16 + thread % 32 / 4, column = 2 * (thread & 3);
#pragma unroll
  for (int e = 0; e < 16; e++) {
    int j = e >> 1, half = e & 1, r = row + 8 * half, c = 8 * j + column;
    const float* two = sum + (8 * part + j) * 4 + 2 * half;
    if (SWAPPED) tile[c * 72 + r] = two[0], tile[(c + 1) * 72 + r] = two[1];
    else *(float2*)(tile + r * 72 + c) = make_float2(two[0], two[1]);
  }
}

// A block of either kernel; `finish` is called by a consumer's 128 threads for 4 rows of 16 pixels × 64 channels.
template <int P, int BN, class Finish>
__device__ __forceinline__ void run(const TensorMap* input, const TensorMap* filters, Work work, Finish finish) {
  DYN_SHARED(char, start);
  Shared<BN> shared(start);
  if (threadIdx.x == 0) {
    for (int i = 0; i < BOXES + TAPS; i++) ptx_mbar_init(shared.box_full + i, 1);  // and tap_full, which follows
    for (int i = 0; i < TAPS; i++) ptx_mbar_init(shared.tap_empty + i, 4 * CONSUMERS);
    ptx_mbar_fence_init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx_setmaxnreg_dec<40>();
    if (threadIdx.x == 0) produce<P>(shared, input, filters, work);
  } else {
    ptx_setmaxnreg_inc<232>();
    int who = threadIdx.x / 128 - 1, thread = threadIdx.x & 127;
    float* tile = (float*)(shared.staging + who * STAGING);
    float sum[BN / 64][64];
    Ring<BOXES> box;
    Ring<TAPS> tap;
    for (int number = blockIdx.x; number < work.tiles; number += gridDim.x) {
      consume<P>(sum, shared, who, work.C, box, tap);
      Place at = place_of<16, BN>(number, work.Ho, work.Wo, work.K);
#pragma unroll
      for (int part = 0; part < BN / 32; part++) {  // rows and channels of BN = 128: 2 × 2; rows of BN = 64: 2
        int rows = BN == 64 ? part : part / 2, channels = BN == 64 ? 0 : part % 2;
        lay_out<BN == 64>(tile, BN == 64 ? sum[0] : sum[rows], BN == 64 ? rows : channels, thread);
        ptx_bar_sync(1 + who, 128);
        finish(tile, thread, Place{at.n, at.y + 8 * who + 4 * rows, at.x, at.k + 64 * channels, at.H, at.W, at.K});
        ptx_bar_sync(1 + who, 128);  // the tile is read before the next part comes
      }
    }
  }
}

// As in conv_mma.cu, but with maps of TMA for X (N×H×W×C in boxes 1×18×16×128 bytes) and the filters (9×K×C, 1×BN×128
// bytes).  min(tiles, multiprocessors) blocks of 384 threads, tiles = N·⌈Ho/16⌉·⌈Wo/16⌉·⌈K/BN⌉.
// instances: conv3x3_forward_hopper<TF32, 128>, conv3x3_forward_hopper<TF32, 64>
// instances: conv3x3_forward_hopper<BF16, 128>, conv3x3_forward_hopper<BF16, 64>
template <int P, int BN, class T = typename Map<P>::T>
__global__ void __launch_bounds__(THREADS, 1)
conv3x3_forward_hopper(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap filters, int tiles,
                       int Ho, int Wo, int C, int K, int pad, const float* bias, T* before, T* out, unsigned* mask,
                       T* pooled, unsigned* windows, int pool, int N, int h, int w) {
  Forward<T> then{bias, before, out, mask, pooled, windows, pool, N, h, w};
  run<P, BN>(&x, &filters, Work{tiles, Ho, Wo, K, C, pad}, [&](const float* tile, int thread, Place at) {
    forward_epilogue<4, 64, 128>(tile, thread, at, then);
  });
}

// Ho×Wo is the tiles' map: H×W or, with a pool, ⌈H/2⌉×⌈W/2⌉.
// instances: conv3x3_backward_hopper<TF32, 128>, conv3x3_backward_hopper<TF32, 64>
// instances: conv3x3_backward_hopper<BF16, 128>, conv3x3_backward_hopper<BF16, 64>
template <int P, int BN, class T = typename Map<P>::T>
__global__ void __launch_bounds__(THREADS, 1)
conv3x3_backward_hopper(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap filters, int tiles,
                        int Ho, int Wo, int C, int K, int pad, const T* pool_added, const T* added,
                        const T* added_before, const unsigned* mask, const unsigned* windows, T* out, int pool, int N,
                        int h, int w, int H, int W) {
  Backward<T> then{pool_added, added, added_before, mask, windows, out, pool, N, h, w, H, W};
  run<P, BN>(&dy, &filters, Work{tiles, Ho, Wo, K, C, pad}, [&](const float* tile, int thread, Place at) {
    backward_epilogue<4, 64, 128>(tile, thread, at, then);
  });
}
