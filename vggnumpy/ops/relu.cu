// The rectifier, plain and leaky, and its derivative; formulas and conventions are in relu.py.
//
//   forward    y[p, c] = x[p, c] > 0 ? x[p, c] : leak * x[p, c]        bit (p, c) of `positive` = x[p, c] > 0
//   backward   dx[p, c] = bit (p, c) ? dy[p, c] : leak * dy[p, c]
//
// x is read as P positions of C channels.  The bits of a position fill ceil(C/8) bytes, the first channel in the highest
// bit of the first byte, as numpy.packbits has them.  A thread owns one byte, and so the channels 8k ... 8k + 7 (those
// below C) of one position: nobody else writes to it.
//
// Launch: one-dimensional, P * ceil(C/8) threads or more.

#include "simt.cuh"

template <typename T>
__global__ void relu_forward(i64 positions, int channels, const T* x, T leak, T* y, unsigned char* positive) {
  const int bytes = (channels + 7) / 8;
  const i64 t = thread_number();
  if (t >= positions * bytes) return;
  const i64 p = t / bytes;
  const int first = int(t - p * bytes) * 8, count = min(8, channels - first);
  x += p * channels + first;
  y += p * channels + first;
  unsigned bits = 0;
  for (int i = 0; i < count; i++) {
    const T value = x[i];
    if (value > 0) bits |= 0x80u >> i;
    // max(x, 0) without leak, not x * 0, which is NaN where x is -infinity; a NaN passes the comparison and stays.
    y[i] = value > 0 ? value : leak != 0 ? value * leak : value <= 0 ? T(0) : value;
  }
  positive[t] = (unsigned char)bits;
}

template <typename T>
__global__ void relu_backward(i64 positions, int channels, const T* dy, const unsigned char* positive, T leak, T* dx) {
  const int bytes = (channels + 7) / 8;
  const i64 t = thread_number();
  if (t >= positions * bytes) return;
  const i64 p = t / bytes;
  const int first = int(t - p * bytes) * 8, count = min(8, channels - first);
  dy += p * channels + first;
  dx += p * channels + first;
  const unsigned bits = positive[t];
  for (int i = 0; i < count; i++) dx[i] = bits & (0x80u >> i) ? dy[i] : leak != 0 ? dy[i] * leak : T(0);
}
