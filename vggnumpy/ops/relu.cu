// The rectifier, plain and leaky, and its derivative; formulas are in relu.py.
//
//   forward    y[p, c] = x[p, c] > 0 ? x[p, c] : leak * x[p, c]        bit (p, c) of `positive` = x[p, c] > 0
//   backward   dx[p, c] = bit (p, c) ? dy[p, c] : leak * dy[p, c]
//
// x is read as P positions of C channels, and the bits of a position fill ceil(C/8) bytes (simt.cuh).  A thread owns
// one byte of `positive`, and so eight channels of one position: nobody else writes to it.
//
// Launch: one-dimensional, P * ceil(C/8) threads or more.

#include "../cuda/simt.cuh"

template <typename T>
__global__ void relu_forward(i64 positions, int channels, const T* x, T leak, T* y, unsigned char* positive) {
  const Octet o = octet(positions, channels);
  unsigned bits = 0;
  for (int i = 0; i < o.count; i++) {
    const T value = x[o.at + i];
    if (value > 0) bits |= 0x80u >> i;
    // max(x, 0) without leak, not x * 0, which is NaN where x is -infinity; NaN fails every comparison and stays.
    y[o.at + i] = leak != 0 ? (value > 0 ? value : value * leak) : (value <= 0 ? T(0) : value);
  }
  if (o.count) positive[o.number] = (unsigned char)bits;
}

template <typename T>
__global__ void relu_backward(i64 positions, int channels, const T* dy, const unsigned char* positive, T leak, T* dx) {
  const Octet o = octet(positions, channels);
  const unsigned bits = o.count ? positive[o.number] : 0;
  for (int i = 0; i < o.count; i++)
    dx[o.at + i] = bits & (0x80u >> i) ? dy[o.at + i] : leak != 0 ? dy[o.at + i] * leak : T(0);
}
