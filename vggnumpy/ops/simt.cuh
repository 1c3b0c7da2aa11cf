// What the plain (SIMT) kernels share: the number of this thread, and the bits of a rectifier.
//
// Every kernel here *gathers*: a thread owns one entry of the output (or eight, or a tile) and reads whatever it needs;
// nothing is added to memory that another thread writes.  So there are no atomics, and the same input gives the same
// bits every time.  Offsets into arrays are 64-bit: an image may have more than 2^31 entries.

typedef long long i64;

// Number of this thread in a one-dimensional launch.
__device__ __forceinline__ i64 thread_number() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
