// What the plain (SIMT) kernels share.
//
// Every kernel *gathers*: a thread owns one entry of the output (or eight, or a tile) and reads whatever it needs;
// nothing is added to memory that another thread writes.  So there are no atomics, and the same input gives the same
// bits every time.  Offsets into arrays are 64-bit: an image may have more than 2^31 entries.

typedef long long i64;

// Yes or no for every entry, one bit each: the bits of a position fill ceil(C/8) bytes, its first channel in the
// highest bit of the first byte, as numpy.packbits has them.  An octet is one such byte and the channels it stands for.
struct Octet {
  i64 number;   // of the byte
  i64 at;       // of its first entry in an array of P x C
  int channel;  // of that entry
  int count;    // channels: 8, fewer at the end of a position, 0 for threads beyond the last byte
};

// The octet of this thread in a one-dimensional launch.
__device__ __forceinline__ Octet octet(i64 positions, int channels) {
  const int bytes = (channels + 7) / 8;
  const i64 number = (i64)blockIdx.x * blockDim.x + threadIdx.x, position = number / bytes;
  const int channel = int(number - position * bytes) * 8;
  return {number, position * channels + channel, channel, position < positions ? min(8, channels - channel) : 0};
}
