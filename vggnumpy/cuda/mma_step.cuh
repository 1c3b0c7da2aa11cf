// A warp's product of two parts of shared memory by mma.sync, in three precisions.
//
// Operands are rows of 128 bytes of depth (32 floats, 64 bf16), ROW = 128 + 16 bytes apart: the 8 rows that ldmatrix
// reads at a time then start 36 words apart, in banks 4i … 4i + 3 modulo 32, all different.
//
// Precision.  Accumulators are fp32.  BF16: both operands are bf16.  TF32: A is rounded as it enters the product
// (the hardware would truncate), B comes rounded.  FP32 (3×TF32): u = u₁ + u₂ with u₁ = tf32(u) and
// u₂ = tf32(u - u₁) to 2⁻²²·|u|; of the product (a₁ + a₂)(b₁ + b₂) the term a₂b₂, at most 2⁻²²·|ab|, is dropped.
// Tensor cores add with rounding *towards zero*, an error that grows with the depth; so in FP32 each step sums by
// itself and is added to the total by an ordinary addition.

enum Precision { FP32, TF32, BF16 };
template <int P> struct Map { typedef float T; };
template <> struct Map<BF16> { typedef bf16 T; };

constexpr int ROW = 144;

// Split fp32 into tf32 parts, high + low; `high` replaces the number.
__device__ __forceinline__ void split(unsigned* numbers, unsigned* low, int count) {
#pragma unroll
  for (int i = 0; i < count; i++) {
    float whole = __uint_as_float(numbers[i]);
    numbers[i] = ptx_tf32(whole);
    low[i] = ptx_tf32(whole - __uint_as_float(numbers[i]));
  }
}

// sum[i][j] += A[16 pixels i] · B[8 channels j] over the 128 bytes of depth of one step.  `a` and `b` are where this
// lane's row of ldmatrix begins for i = j = 0; the next 16 pixels are A_ROWS rows of shared memory further.
template <int P, int MT, int A_ROWS>
__device__ __forceinline__ void multiply_step(float (*sum)[4][4], const char* a, const char* b) {
#pragma unroll
  for (int part = 0; part < 4; part++) {  // 32 bytes: 8 floats or 16 bf16
    unsigned A[MT][4], B[4][2], a_low[MT][4], b_low[4][2];
#pragma unroll
    for (int i = 0; i < MT; i++) ptx_ldmatrix_x4(A[i], a + i * A_ROWS * ROW + part * 32);
#pragma unroll
    for (int j = 0; j < 4; j += 2) ptx_ldmatrix_x4(B[j], b + j * 8 * ROW + part * 32);
    if (P == FP32) split(A[0], a_low[0], 4 * MT), split(B[0], b_low[0], 8);
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (P == TF32) A[i][e] = ptx_tf32(__uint_as_float(A[i][e]));
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (P == FP32) ptx_mma_tf32(sum[i][j], a_low[i], B[j]), ptx_mma_tf32(sum[i][j], A[i], b_low[j]);
        if (P == BF16) ptx_mma_bf16(sum[i][j], A[i], B[j]);
        else ptx_mma_tf32(sum[i][j], A[i], B[j]);
      }
    }
  }
}
