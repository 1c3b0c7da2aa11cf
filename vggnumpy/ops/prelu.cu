// The leaky rectifier with a slope of each channel's own, and its derivatives; formulas are in prelu.py.
//
//   forward          y[p, c] = x[p, c] > 0 ? x[p, c] : slope[c] * x[p, c]        bit (p, c) of `positive` = x[p, c] > 0
//   backward         dx[p, c] = bit (p, c) ? dy[p, c] : slope[c] * dy[p, c]
//   backward slope   terms[p, c] = bit (p, c) ? 0 : dy[p, c] * x[p, c]           dslope[c] = sum over p, by the host
//
// Positions, bits and launch as in relu.cu: a thread owns one byte of `positive`, eight channels of one position.

#include "../cuda/simt.cuh"

template <typename T>
__global__ void prelu_forward(i64 positions, int channels, const T* x, const T* slope, T* y, unsigned char* positive) {
  const Octet o = octet(positions, channels);
  unsigned bits = 0;
  for (int i = 0; i < o.count; i++) {
    const T value = x[o.at + i];
    if (value > 0) bits |= 0x80u >> i;
    y[o.at + i] = value > 0 ? value : value * slope[o.channel + i];
  }
  if (o.count) positive[o.number] = (unsigned char)bits;
}

template <typename T>
__global__ void prelu_backward(i64 positions, int channels, const T* dy, const unsigned char* positive, const T* slope,
                               T* dx) {
  const Octet o = octet(positions, channels);
  const unsigned bits = o.count ? positive[o.number] : 0;
  for (int i = 0; i < o.count; i++)
    dx[o.at + i] = bits & (0x80u >> i) ? dy[o.at + i] : dy[o.at + i] * slope[o.channel + i];
}

template <typename T>
__global__ void prelu_backward_slope(i64 positions, int channels, const T* dy, const T* x,
                                     const unsigned char* positive, T* terms) {
  const Octet o = octet(positions, channels);
  const unsigned bits = o.count ? positive[o.number] : 0;
  for (int i = 0; i < o.count; i++) terms[o.at + i] = bits & (0x80u >> i) ? T(0) : dy[o.at + i] * x[o.at + i];
}
