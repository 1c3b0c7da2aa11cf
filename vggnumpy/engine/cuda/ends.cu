// The two ends of an evaluation: from pixels to what the network takes and back, and from parts of sums to losses.
//
//   forward    z[p, c] = (x[p, order(c)] − mean[c]) · scale[c]                     `Network.preprocess`
//   backward   dx[p, c] = dz[p, order(c)] · scale[order(c)]                        an order is its own inverse
//
// `reversed`: order(c) is 2 − c, else c.

typedef long long i64;

struct Colour { float mean[3], scale[3]; int reversed; };

// instances: pixels_in
__global__ void pixels_in(const float* x, Colour colour, i64 entries, float* z) {
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= entries) return;
  int c = (int)(i % 3), from = colour.reversed ? 2 - c : c;
  z[i] = (x[i - c + from] - colour.mean[c]) * colour.scale[c];
}

// instances: pixels_out
__global__ void pixels_out(const float* dz, Colour colour, i64 entries, float* dx) {
  i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= entries) return;
  int c = (int)(i % 3), from = colour.reversed ? 2 - c : c;
  dx[i] = dz[i - c + from] * colour.scale[from];
}

// losses[t] = factor[t] · Σ parts[ranges[2t] … ranges[2t + 1] − 1] + constant[t]: a block of 256 threads for each term
// t, which adds in the same order every time.
// instances: total
__global__ void total(const double* parts, const i64* ranges, const double* factor, const double* constant,
                      double* losses) {
  __shared__ double share[256];
  double sum = 0;
  for (i64 i = ranges[2 * blockIdx.x] + threadIdx.x; i < ranges[2 * blockIdx.x + 1]; i += 256) sum += parts[i];
  share[threadIdx.x] = sum;
  for (int half = 128; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) share[threadIdx.x] += share[threadIdx.x + half];
  }
  if (threadIdx.x == 0) losses[blockIdx.x] = factor[blockIdx.x] * share[0] + constant[blockIdx.x];
}
