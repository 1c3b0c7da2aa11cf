// Dropout, forward and backward alike, with a mask that the host drew; formulas are in dropout.py.
//
//   out[p, c] = bit (p, c) of `kept` ? in[p, c] * scale : 0
//
// Positions, bits and launch as in relu.cu: a thread owns one byte of the mask, eight channels of one position.

#include "../cuda/simt.cuh"

template <typename T>
__global__ void keep(i64 positions, int channels, const T* in, const unsigned char* kept, T scale, T* out) {
  const Octet o = octet(positions, channels);
  const unsigned bits = o.count ? kept[o.number] : 0;
  for (int i = 0; i < o.count; i++) out[o.at + i] = bits & (0x80u >> i) ? in[o.at + i] * scale : T(0);
}
