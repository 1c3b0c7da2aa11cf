// The PTX instructions of vggnumpy/cuda/ptx.cuh as plain C++: same names, same operands, same fragment layouts.
// Each takes effect as late as the machine allows, so that a missing wait shows as wrong numbers.
#pragma once

// ---- rounding ----

// cvt.rna.tf32.f32: to 10 bits of mantissa, nearest, ties away from zero.
inline unsigned ptx_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }

// cvt.rn.bf16x2.f32: two floats to bf16, nearest, ties to even; `low` in bits 0-15.
inline unsigned ccpu_bf16(float x) {
  unsigned u = __float_as_uint(x);
  return x != x ? 0x7fffu : (u + 0x7fffu + (u >> 16 & 1)) >> 16;
}
inline unsigned ptx_bf16x2(float low, float high) { return ccpu_bf16(low) | ccpu_bf16(high) << 16; }

namespace ccpu {

static float tf32_operand(unsigned bits) { return __uint_as_float(bits & 0xffffe000u); }  // the machine truncates
static float bf16_low(unsigned pair) { return __uint_as_float(pair << 16); }
static float bf16_high(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

// A tensor core adds a sum of products to an accumulator and rounds the result towards zero.
static float toward_zero(double x) {
  float f = float(x);
  return std::fabs(double(f)) > std::fabs(x) ? std::nextafter(f, 0.0f) : f;
}

struct Fragments { float* c; const unsigned *a, *b; };

// C[16x8] += A[16xK] B[Kx8] of a warp; lane 4g + t holds C[g][2t, 2t+1] and C[g+8][2t, 2t+1].
template <int K, class LoadA, class LoadB> static void warp_product(float* c, const unsigned* a, const unsigned* b,
                                                                    LoadA load_a, LoadB load_b) {
  Fragments mine{c, a, b};
  together(&mine, [=](Fragments** lanes, int) {
    static double A[16][K], B[K][8];
    for (int lane = 0; lane < 32; lane++) {
      load_a(A, lane >> 2, lane & 3, lanes[lane]->a);
      load_b(B, lane >> 2, lane & 3, lanes[lane]->b);
    }
    for (int lane = 0; lane < 32; lane++)
      for (int e = 0; e < 4; e++) {
        int i = (lane >> 2) + 8 * (e >> 1), j = 2 * (lane & 3) + (e & 1);
        double sum = 0;
        for (int k = 0; k < K; k++) sum += A[i][k] * B[k][j];
        lanes[lane]->c[e] = toward_zero(double(lanes[lane]->c[e]) + sum);
      }
  });
}

}  // namespace ccpu

// mma.sync.m16n8k8 tf32: a = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4]; b = B[t][g], B[t+4][g].
inline void ptx_mma_tf32(float* c, const unsigned* a, const unsigned* b) {
  ccpu::warp_product<8>(
      c, a, b,
      [](double (*A)[8], int g, int t, const unsigned* r) {
        for (int e = 0; e < 4; e++) A[g + 8 * (e & 1)][t + 4 * (e >> 1)] = ccpu::tf32_operand(r[e]);
      },
      [](double (*B)[8], int g, int t, const unsigned* r) {
        for (int e = 0; e < 2; e++) B[t + 4 * e][g] = ccpu::tf32_operand(r[e]);
      });
}

// mma.sync.m16n8k16 bf16: as above with pairs, k = 2t, 2t+1 in place of t, and 8 in place of 4.
inline void ptx_mma_bf16(float* c, const unsigned* a, const unsigned* b) {
  ccpu::warp_product<16>(
      c, a, b,
      [](double (*A)[16], int g, int t, const unsigned* r) {
        for (int e = 0; e < 4; e++) {
          double* row = A[g + 8 * (e & 1)] + 2 * t + 8 * (e >> 1);
          row[0] = ccpu::bf16_low(r[e]), row[1] = ccpu::bf16_high(r[e]);
        }
      },
      [](double (*B)[8], int g, int t, const unsigned* r) {
        for (int e = 0; e < 2; e++) {
          B[2 * t + 8 * e][g] = ccpu::bf16_low(r[e]);
          B[2 * t + 1 + 8 * e][g] = ccpu::bf16_high(r[e]);
        }
      });
}

// ldmatrix.x4: lane 8m + r names row r (16 bytes) of matrix m; lane 4g + t gets word t of row g of each matrix.
inline void ptx_ldmatrix_x4(unsigned* words, const void* row) {
  struct Frame { unsigned* words; const char* row; } mine{words, (const char*)row};
  if ((uintptr_t)row & 15) ccpu::fail("ldmatrix reads a row that is not aligned to 16 bytes");
  ccpu::together(&mine, [](Frame** lanes, int) {
    for (int lane = 0; lane < 32; lane++)
      for (int m = 0; m < 4; m++) memcpy(lanes[lane]->words + m, lanes[8 * m + (lane >> 2)]->row + 4 * (lane & 3), 4);
  });
}

// ---- cp.async: the data land only at the wait ----

inline void ptx_cp_async16(void* to, const void* from, bool inside) {
  if (((uintptr_t)to | (inside ? (uintptr_t)from : 0)) & 15) ccpu::fail("cp.async of 16 bytes is not aligned to 16");
  ccpu::block->fiber->copies.back().push_back({to, from, inside ? 16 : 0, 16});
}
inline void ptx_cp_commit() { ccpu::block->fiber->copies.emplace_back(); }
template <int N> inline void ptx_cp_wait() {
  auto& groups = ccpu::block->fiber->copies;
  while (int(groups.size()) - 1 > N) {
    for (const ccpu::Copy& copy : groups.front()) {
      if (copy.bytes) memcpy(copy.to, copy.from, copy.bytes);
      memset((char*)copy.to + copy.bytes, 0, copy.filled - copy.bytes);
    }
    groups.erase(groups.begin());
  }
}

// ---- barriers of some of a block's threads ----

// bar.sync id, threads
inline void ptx_bar_sync(int id, int threads) {
  ccpu::Barrier& barrier = ccpu::block->named[id];
  unsigned generation = barrier.generation;
  ccpu::block->progress = true;
  if (++barrier.arrived == threads) barrier.arrived = 0, barrier.generation++;
  while (barrier.generation == generation) ccpu::spin();
}

struct ptx_mbar { short need, left; int bytes_and_phase; };  // 8 bytes, as on the device; bit 0 is the phase
namespace ccpu {
static void mbar_try(ptx_mbar* bar) {
  block->progress = true;
  if (bar->left == 0 && bar->bytes_and_phase >> 1 == 0) bar->bytes_and_phase ^= 1, bar->left = bar->need;
}
}  // namespace ccpu
inline void ptx_mbar_init(ptx_mbar* bar, int arrivals) { *bar = {short(arrivals), short(arrivals), 0}; }
inline void ptx_mbar_fence_init() {}
inline void ptx_mbar_arrive(ptx_mbar* bar) {
  bar->left--;
  ccpu::mbar_try(bar);
  ccpu::spin();  // who waits for it may go first
}
inline void ptx_mbar_expect(ptx_mbar* bar, int bytes) {
  bar->bytes_and_phase += 2 * bytes;
  bar->left--;
  ccpu::mbar_try(bar);
}
inline void ptx_mbar_wait(ptx_mbar* bar, unsigned parity) {
  while ((bar->bytes_and_phase & 1u) == parity) ccpu::spin();
}
template <int N> inline void ptx_setmaxnreg_dec() {}
template <int N> inline void ptx_setmaxnreg_inc() {}
inline void ptx_fence_async() {}

// ---- TMA: boxes of a tensor, swizzled by 128 bytes, zero outside ----

struct TensorMap {  // 128 bytes, as a CUtensorMap
  const char* base;
  int64_t size[5], stride[5];           // entries; bytes
  int box[5];
  int rank, type, swizzle;
  char rest[128 - 8 - 80 - 32];
};
static_assert(sizeof(TensorMap) == 128, "");

enum { CCPU_FLOAT32 = 7, CCPU_BFLOAT16 = 9, CCPU_TFLOAT32 = 11 };  // CUtensorMapDataType

// The driver's function of this name: the same arguments, its conditions, and one of the kernels here (128-byte rows).
extern "C" __attribute__((visibility("default"), used)) int cuTensorMapEncodeTiled(
    TensorMap* map, int type, unsigned rank, void* base, const uint64_t* size, const uint64_t* stride,
    const unsigned* box, const unsigned* step, int interleave, int swizzle, int, int) {
  int bytes = type == CCPU_BFLOAT16 ? 2 : 4;
  bool good = rank >= 1 && rank <= 5 && (type == CCPU_FLOAT32 || type == CCPU_BFLOAT16 || type == CCPU_TFLOAT32) &&
              !((uintptr_t)map & 63) && !((uintptr_t)base & 15) && interleave == 0 && swizzle == 3;
  for (unsigned i = 0; good && i < rank; i++)
    good = size[i] >= 1 && size[i] <= 1ull << 32 && box[i] >= 1 && box[i] <= 256 && step[i] == 1;
  for (unsigned i = 0; good && i + 1 < rank; i++) good = stride[i] % 16 == 0 && stride[i] < 1ull << 40;
  if (!good || box[0] * bytes != 128) return 1;  // CUDA_ERROR_INVALID_VALUE
  *map = TensorMap{};
  map->base = (const char*)base;
  map->rank = rank, map->type = type, map->swizzle = swizzle;
  for (unsigned i = 0; i < rank; i++) {
    map->size[i] = size[i], map->box[i] = box[i];
    map->stride[i] = i ? stride[i - 1] : bytes;
  }
  return 0;
}

namespace ccpu {

static unsigned swizzled(unsigned address) { return address ^ (address >> 7 & 7) << 4; }

static void begin_copy(BoxCopy copy) {
  if (copy.rank != copy.map->rank) fail("a TMA copy has another rank than its map");
  if (((char*)copy.to - block->shared) % 1024) fail("a TMA copy with a 128-byte swizzle is not aligned to 1024 bytes");
  block->progress = true;
  if (block->reversed) block->copies.push_back(copy);
  else land(copy);
}

static void land(const BoxCopy& copy) {
  const TensorMap* map = copy.map;
  unsigned target = (char*)copy.to - block->shared;
  int box[5] = {1, 1, 1, 1, 1}, entry = map->type == CCPU_BFLOAT16 ? 2 : 4, count = 0;
  for (int i = 0; i < copy.rank; i++) box[i] = map->box[i];
  for (int e = 0; e < box[4]; e++) for (int d = 0; d < box[3]; d++) for (int c = 0; c < box[2]; c++)
  for (int b = 0; b < box[1]; b++) for (int a = 0; a < box[0]; a++) {
    int offset[5] = {a, b, c, d, e};
    const char* from = map->base;
    bool inside = true;
    for (int i = 0; i < copy.rank; i++) {
      int64_t at = int64_t(copy.start[i]) + offset[i];
      inside = inside && at >= 0 && at < map->size[i];
      from += at * map->stride[i];
    }
    unsigned bits = 0;
    if (inside) memcpy(&bits, from, entry);
    if (map->type == CCPU_TFLOAT32) bits = ptx_tf32(__uint_as_float(bits));
    memcpy(block->shared + swizzled(target + count * entry), &bits, entry);
    count++;
  }
  copy.bar->bytes_and_phase -= 2 * count * entry;
  mbar_try(copy.bar);
}

}  // namespace ccpu

inline void ptx_tma3(void* to, const TensorMap* map, int x, int y, int z, ptx_mbar* bar) {
  ccpu::begin_copy({to, map, {x, y, z}, 3, bar});
}
inline void ptx_tma4(void* to, const TensorMap* map, int x, int y, int z, int n, ptx_mbar* bar) {
  ccpu::begin_copy({to, map, {x, y, z, n}, 4, bar});
}

// ---- wgmma: C[64xN] += A[64xK] B[NxK]' of a warpgroup; rows of K entries, 32 bytes, lie in shared memory ----

// A matrix of rows of 128 bytes, swizzled, 8 rows in 1024 bytes.
inline unsigned long long ptx_descriptor(const void* p) {
  unsigned long long address = (const char*)p - ccpu::block->shared;
  return (address & 0x3ffff) >> 4 | 1ull << 16 | (1024ull >> 4) << 32 | 1ull << 62;
}
inline void ptx_wgmma_fence() {}

namespace ccpu {

static void perform(const Product& product);
static WarpGroup& my_group() { return block->groups[block->fiber->number >> 7]; }

static void record(float* c, uint64_t a, uint64_t b, int n, bool bf16) {
  WarpGroup& group = my_group();
  size_t call = block->fiber->wgmma_calls++;
  if (call == group.products.size()) group.products.push_back({{}, a, b, n, 0, bf16});
  Product& product = group.products[call];
  if (product.a != a || product.b != b || product.n != n || product.bf16 != bf16)
    fail("threads of one warpgroup perform different wgmma");
  product.c[block->fiber->number & 127] = c;
  if (++product.arrived == 128 && block->reversed) {
    perform(product);
    group.performed++;
  }
}

static void operand_row(uint64_t descriptor, int row, bool bf16, float* out) {
  unsigned start = unsigned(descriptor & 0x3fff) << 4, eight_rows = unsigned(descriptor >> 32 & 0x3fff) << 4;
  start += (row >> 3) * eight_rows + (row & 7) * 128;
  for (int word = 0; word < 8; word++) {
    unsigned bits;
    memcpy(&bits, block->shared + swizzled(start + 4 * word), 4);
    if (bf16) out[2 * word] = bf16_low(bits), out[2 * word + 1] = bf16_high(bits);
    else out[word] = tf32_operand(bits);
  }
}

static void perform(const Product& product) {
  static float A[64][16], B[256][16];
  int depth = product.bf16 ? 16 : 8;
  if (product.arrived != 128) fail("not all 128 threads of a warpgroup perform a wgmma");
  for (int m = 0; m < 64; m++) operand_row(product.a, m, product.bf16, A[m]);
  for (int n = 0; n < product.n; n++) operand_row(product.b, n, product.bf16, B[n]);
  for (int thread = 0; thread < 128; thread++)
    for (int e = 0; e < product.n / 2; e++) {
      int i = (thread >> 5) * 16 + ((thread & 31) >> 2) + 8 * (e >> 1 & 1);
      int j = 8 * (e >> 2) + 2 * (thread & 3) + (e & 1);
      double sum = 0;
      for (int k = 0; k < depth; k++) sum += double(A[i][k]) * double(B[j][k]);
      product.c[thread][e] = toward_zero(double(product.c[thread][e]) + sum);
    }
}

}  // namespace ccpu

template <int N> inline void ptx_wgmma_tf32(float* c, unsigned long long a, unsigned long long b) {
  ccpu::record(c, a, b, N, false);
}
template <int N> inline void ptx_wgmma_bf16(float* c, unsigned long long a, unsigned long long b) {
  ccpu::record(c, a, b, N, true);
}
inline void ptx_wgmma_commit() {
  ccpu::WarpGroup& group = ccpu::my_group();
  size_t mine = group.committed[ccpu::block->fiber->number & 127]++;
  if (mine == group.ends.size()) group.ends.push_back(ccpu::block->fiber->wgmma_calls);
}
// Forward, the products are made when all 128 threads wait for them: operands overwritten before that show.
template <int N> inline void ptx_wgmma_wait() {
  ccpu::WarpGroup& group = ccpu::my_group();
  unsigned generation = group.generation;
  ccpu::block->progress = true;
  if (++group.arrived == 128) {
    group.arrived = 0;
    group.generation++;
    size_t groups = group.ends.size(), end = groups > N ? group.ends[groups - 1 - N] : 0;
    for (; group.performed < end; group.performed++) ccpu::perform(group.products[group.performed]);
    return;
  }
  while (group.generation == generation) ccpu::spin();
}
