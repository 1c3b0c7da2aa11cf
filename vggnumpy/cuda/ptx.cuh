// The instructions that CUDA C++ has no name for, one function each.  Nothing else contains assembly.
//
// Tests run the same kernels on a CPU: there CUDACPU is defined, and functions of the same names stand in for these
// (tests/helpers/cuda_on_cpu/ptx_on_cpu.h).  Source: NVIDIA's manual of the PTX instruction set.
#ifndef CUDACPU

// Dynamic shared memory as an array; its address is a multiple of 1024, as the copies with a 128-byte swizzle need.
#define DYN_SHARED(type, name)                                 \
  extern __shared__ __align__(1024) unsigned char ptx_shared[]; \
  type* name = (type*)ptx_shared

__device__ __forceinline__ unsigned ptx_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// ---- rounding ----

// A float rounded to tf32 (10 bits of mantissa): to the nearest, ties away from zero.  The tensor cores themselves
// *truncate* what they are given, which biases every product towards zero; so round first.
__device__ __forceinline__ unsigned ptx_tf32(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// Two floats as a pair of bf16, `low` in bits 0-15: to the nearest, ties to even.
__device__ __forceinline__ unsigned ptx_bf16x2(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

// ---- mma.sync: C[16×8] += A[16×K] B[K×8], by the 32 lanes of a warp; the accumulators are fp32 ----
// Lane 4g + t (t < 4) holds C[g][2t, 2t+1] and C[g+8][2t, 2t+1].

// K = 8.  a = A[g][t], A[g+8][t], A[g][t+4], A[g+8][t+4];  b = B[t][g], B[t+4][g].
__device__ __forceinline__ void ptx_mma_tf32(float* c, const unsigned* a, const unsigned* b) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// K = 16.  As above with the pairs k = 2t, 2t+1 in place of t, and 8 in place of 4.
__device__ __forceinline__ void ptx_mma_bf16(float* c, const unsigned* a, const unsigned* b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8-row matrices from shared memory, 16 bytes a row: lane 8m + r names row r of matrix m, and lane 4g + t gets
// 32-bit word t of row g of each.  With rows of A (or of B transposed) that is the layout mma wants.
__device__ __forceinline__ void ptx_ldmatrix_x4(unsigned* words, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(ptx_address(row))
               : "memory");
}

// ---- cp.async: 16 bytes from global to shared memory in the background; zeros if not `inside` ----

__device__ __forceinline__ void ptx_cp_async16(void* to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(ptx_address(to)), "l"(from), "r"(inside ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void ptx_cp_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until at most N of this thread's groups are under way.
template <int N> __device__ __forceinline__ void ptx_cp_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- barriers of some of a block's threads ----

// A barrier of `threads` threads of the block, a multiple of 32; __syncthreads is number 0.
__device__ __forceinline__ void ptx_bar_sync(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// An mbarrier completes a phase when `arrivals` threads have arrived and all bytes expected have been copied.
typedef unsigned long long ptx_mbar;
__device__ __forceinline__ void ptx_mbar_init(ptx_mbar* bar, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(ptx_address(bar)), "r"(arrivals) : "memory");
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900  // the rest is Hopper's

__device__ __forceinline__ void ptx_mbar_fence_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void ptx_mbar_arrive(ptx_mbar* bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(ptx_address(bar)) : "memory");
}
__device__ __forceinline__ void ptx_mbar_expect(ptx_mbar* bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(ptx_address(bar)), "r"(bytes) : "memory");
}

// Wait until the phase of this parity is complete: 0 for the first, 1 for the second, 0 again …
__device__ __forceinline__ void ptx_mbar_wait(ptx_mbar* bar, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(ptx_address(bar)),
      "r"(parity)
      : "memory");
}

// This warpgroup gives registers back, or takes more: N each from now on.
template <int N> __device__ __forceinline__ void ptx_setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> __device__ __forceinline__ void ptx_setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

// What this thread wrote to shared memory is seen by TMA and wgmma after the next barrier.
__device__ __forceinline__ void ptx_fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// ---- TMA: a box of a tensor to shared memory, zeros outside the tensor; the map is the driver's CUtensorMap ----

struct __align__(64) TensorMap { unsigned long long opaque[16]; };
__device__ __forceinline__ void ptx_tma3(void* to, const TensorMap* map, int x, int y, int z, ptx_mbar* bar) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(ptx_address(to)),
      "l"(map), "r"(ptx_address(bar)), "r"(x), "r"(y), "r"(z)
      : "memory");
}
__device__ __forceinline__ void ptx_tma4(void* to, const TensorMap* map, int x, int y, int z, int n, ptx_mbar* bar) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(ptx_address(to)),
      "l"(map), "r"(ptx_address(bar)), "r"(x), "r"(y), "r"(z), "r"(n)
      : "memory");
}

// ---- wgmma: C[64×N] += A[64×K] B[N×K]ᵀ by the 128 threads of a warpgroup; K is 32 bytes long (8 tf32, 16 bf16) ----
// Warp w of the group holds rows 16w … 16w + 15, each row as mma.sync does: thread 32w + 4g + t has in c[4j … 4j + 3]
// C[16w + g][8j + 2t, 8j + 2t + 1] and C[16w + g + 8][…].

// Where a matrix is: rows of 128 bytes, 8 rows in 1024 bytes, the 16-byte parts of row r swapped by XOR with r mod 8.
__device__ __forceinline__ unsigned long long ptx_descriptor(const void* p) {
  return (unsigned long long)((ptx_address(p) & 0x3ffff) >> 4) | 1ull << 16 | (1024ull >> 4) << 32 | 1ull << 62;
}
__device__ __forceinline__ void ptx_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void ptx_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void ptx_wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define PTX_C4(c, i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define PTX_C8(c, i) PTX_C4(c, i), PTX_C4(c, i + 4)
#define PTX_C64(c) \
  PTX_C8(c, 0), PTX_C8(c, 8), PTX_C8(c, 16), PTX_C8(c, 24), PTX_C8(c, 32), PTX_C8(c, 40), PTX_C8(c, 48), PTX_C8(c, 56)
#define PTX_LIST64 \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28," \
  "%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54," \
  "%55,%56,%57,%58,%59,%60,%61,%62,%63}, "
template <int N> __device__ __forceinline__ void ptx_wgmma_tf32(float* c, unsigned long long a, unsigned long long b) {
  static_assert(N == 128, "one size is used");
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 " PTX_LIST64 "%64, %65, 1, 1, 1;"
               : PTX_C64(c)
               : "l"(a), "l"(b));
}
template <int N> __device__ __forceinline__ void ptx_wgmma_bf16(float* c, unsigned long long a, unsigned long long b) {
  static_assert(N == 128, "one size is used");
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " PTX_LIST64 "%64, %65, 1, 1, 1, 0, 0;"
               : PTX_C64(c)
               : "l"(a), "l"(b));
}
#undef PTX_C4
#undef PTX_C8
#undef PTX_C64
#undef PTX_LIST64

#endif  // Hopper
#endif  // CUDACPU
