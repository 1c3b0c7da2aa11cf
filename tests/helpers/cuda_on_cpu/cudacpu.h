// Runs CUDA C++ kernels on the CPU, so that tests need no GPU.  x86-64 Linux, g++.
//
//   g++ -std=c++17 -O2 -shared -fPIC -fvisibility=hidden -DCUDACPU -include cudacpu.h -x c++ kernels.cu
//
// with one line `CCPU_EXPORT(symbol, kernel<float, 3>)` appended to the source for each kernel wanted.  The symbol is
//
//   const char* symbol(const unsigned grid[3], const unsigned block[3], size_t shared_bytes,
//                      void** arguments, const unsigned* sizes, int count, int reversed)
//
// where `arguments` are pointers to the values, as for cuLaunchKernel, and `sizes` are their bytes, compared with the
// kernel's parameters.  It returns NULL, or a sentence saying what is wrong with the kernel.
//
// How it works.  Blocks run one after another.  Each CUDA thread is a *fiber*: a stack of its own and a switch of 20
// machine instructions.  A fiber runs until it has to wait: at __syncthreads, at an instruction that a warp performs
// together (shuffles, ballots, mma), or while it spins on an mbarrier.  Fibers run in ascending order, or descending if
// `reversed`; a kernel that is right gives the same bits for both, a missing barrier usually does not.
// Dynamic shared memory starts as 0xff bytes (NaN).  cp.async takes effect as late as it may.  Of the two that run
// beside the threads, forward TMA's copies land at once and wgmma's products are made as late as they may, so that what
// is overwritten too early shows; reversed it is the other way round, so that what is read too early shows.
// `__shared__` arrays are static and keep what the last block left.
// Not covered: speed, bank conflicts, races between the lanes of one warp, addresses outside an array (build with
// -fsanitize=address for those).
//
// Kernels declare dynamic shared memory as DYN_SHARED(type, name); that and the twins of the PTX instructions
// (functions ptx_*, in ptx_on_cpu.h) are all they need to know.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

struct dim3 { unsigned x, y, z; };

#define CCPU_VECTORS(T, name, n)                                                                        \
  struct __align__(2 * sizeof(T)) name##2 { T x, y; };                                                  \
  struct __align__(n) name##4 { T x, y, z, w; };                                                        \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                            \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CCPU_VECTORS(float, float, 16)
CCPU_VECTORS(double, double, 16)
CCPU_VECTORS(int, int, 16)
CCPU_VECTORS(unsigned, uint, 16)
CCPU_VECTORS(unsigned char, uchar, 4)

struct TensorMap;
struct ptx_mbar;

namespace ccpu {

enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Copy { void* to; const void* from; int bytes, filled; };  // a cp.async: `bytes` copied, zeros up to `filled`

struct Fiber {
  void* stack_pointer;
  dim3 index;
  int number, lane, warp;
  State state;
  std::vector<std::vector<Copy>> copies;      // cp.async groups in flight; the last is not committed yet
  size_t wgmma_calls;
};

struct Warp { int arrived; const void* instruction; void* frames[32]; };

struct Barrier { int arrived; unsigned generation; };

struct Product { float* c[128]; uint64_t a, b; int n, arrived; bool bf16; };      // a wgmma not yet performed
struct WarpGroup {
  std::vector<Product> products;        // of all groups since the block began
  std::vector<size_t> ends;             // the number of products at each commit
  size_t performed;
  int committed[128];                   // groups committed, per thread
  int arrived;
  unsigned generation;
};

struct BoxCopy { void* to; const TensorMap* map; int start[5], rank; ptx_mbar* bar; };  // a TMA copy under way

struct Block {
  void* scheduler;
  Fiber* fiber;
  dim3 index, grid, size;
  char* shared;
  size_t shared_bytes;
  void (*entry)(void**);
  void** arguments;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<WarpGroup> groups;
  Barrier named[16];
  std::vector<BoxCopy> copies;
  bool reversed;
  bool progress;                        // whether anything happened that a spinning fiber may wait for
  const char* error;
};

static Block* block;

extern "C" __attribute__((visibility("hidden"))) void ccpu_switch(void** save, void* to);
asm(R"(
.text
.type ccpu_switch,@function
.hidden ccpu_switch
.globl ccpu_switch
ccpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

static void wait_as(State state) {
  block->fiber->state = state;
  ccpu_switch(&block->fiber->stack_pointer, block->scheduler);
}

static void spin() { wait_as(READY); }
static void land(const BoxCopy& copy);

static void fail(const char* sentence) {
  if (!block->error) block->error = sentence;
  wait_as(DONE);
}

// The warp's lanes meet; the last to come performs the instruction on all lanes' frames, which lie on their stacks.
template <class Frame, class Act> static void together(Frame* mine, Act act) {
  static const char identity = 0;
  Fiber* fiber = block->fiber;
  Warp& warp = block->warps[fiber->warp];
  if (warp.arrived && warp.instruction != &identity) fail("lanes of one warp perform different warp instructions");
  warp.instruction = &identity;
  warp.frames[fiber->lane] = mine;
  int lanes = std::min(32, int(block->fibers.size()) - 32 * fiber->warp);
  if (++warp.arrived == lanes) {
    warp.arrived = 0;
    act((Frame**)warp.frames, lanes);
  }
  wait_as(AT_WARP);
}

static void begin() {
  block->entry(block->arguments);
  wait_as(DONE);
  __builtin_trap();
}

constexpr size_t STACK = 128 << 10;

static void prepare(Fiber& fiber, char* stack) {
  void** top = (void**)(((uintptr_t)stack + STACK) & ~uintptr_t(15));
  *--top = nullptr;
  *--top = (void*)begin;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.stack_pointer = top;
  fiber.state = READY;
  fiber.copies.assign(1, {});
  fiber.wgmma_calls = 0;
}

// Run a warp's fibers until none can go on.
static void run_warp(Block& b, int warp, bool reversed) {
  int low = 32 * warp, high = std::min<int>(low + 32, b.fibers.size());
  for (;;) {
    int at_warp = 0, elsewhere = 0;
    for (int k = low; k < high; k++) {
      Fiber& fiber = b.fibers[reversed ? high - 1 - (k - low) : k];
      if (fiber.state == READY) {
        b.fiber = &fiber;
        ccpu_switch(&b.scheduler, fiber.stack_pointer);
        if (b.error) return;
      }
      at_warp += fiber.state == AT_WARP;
      elsewhere += fiber.state == AT_BLOCK || fiber.state == DONE;
    }
    if (!at_warp || at_warp + elsewhere < high - low) return;  // none meets, or some lanes still spin
    if (elsewhere) {
      b.error = "some lanes of a warp wait for others that are at __syncthreads or have returned";
      return;
    }
    for (int i = low; i < high; i++) b.fibers[i].state = READY;
    b.progress = true;
  }
}

static void run_block(Block& b, char* stacks) {
  memset(b.shared, 0xff, b.shared_bytes);
  for (size_t i = 0; i < b.fibers.size(); i++) prepare(b.fibers[i], stacks + STACK * i);
  for (Warp& warp : b.warps) warp.arrived = 0;
  for (WarpGroup& group : b.groups) group = WarpGroup{};
  memset(b.named, 0, sizeof b.named);
  b.copies.clear();
  int warps = b.warps.size(), idle = 0;
  for (;;) {
    b.progress = false;
    for (int w = 0; w < warps && !b.error; w++) run_warp(b, b.reversed ? warps - 1 - w : w, b.reversed);
    if (!b.progress && !b.copies.empty()) {  // nobody can go on without; no order is promised: the last first
      BoxCopy copy = b.copies.back();
      b.copies.pop_back();
      land(copy);
    }
    if (b.error) return;
    size_t done = 0, spinning = 0;
    for (Fiber& fiber : b.fibers) {
      done += fiber.state == DONE;
      spinning += fiber.state == READY || fiber.state == AT_WARP;
    }
    if (done == b.fibers.size()) return;
    if (spinning) {
      idle = b.progress ? 0 : idle + 1;
      if (idle > 10) { b.error = "deadlock: threads spin for what never happens"; return; }
      continue;
    }
    if (done) { b.error = "some threads returned while others wait at __syncthreads"; return; }
    for (Fiber& fiber : b.fibers) fiber.state = READY;
  }
}

template <auto Kernel> struct Caller;
template <class... A, void (*Kernel)(A...)> struct Caller<Kernel> {
  template <size_t... I> static void unpack(void** a, std::index_sequence<I...>) { Kernel(*(std::decay_t<A>*)a[I]...); }
  static void enter(void** a) { unpack(a, std::index_sequence_for<A...>{}); }
  static bool fits(const unsigned* sizes, int count) {
    const unsigned expected[] = {unsigned(sizeof(A))..., 0u};
    return count == int(sizeof...(A)) && std::equal(sizes, sizes + count, expected);
  }
};

template <auto Kernel>
static const char* launch(const unsigned* grid, const unsigned* size, size_t shared_bytes, void** arguments,
                          const unsigned* sizes, int count, bool reversed) {
  if (!Caller<Kernel>::fits(sizes, count)) return "the arguments differ from the parameters in number or bytes";
  Block b{};
  b.reversed = reversed;
  int threads = size[0] * size[1] * size[2];
  if (threads > 1024) return "a block has more than 1024 threads";
  if (shared_bytes > 227 << 10) return "a block asks for more than 227 KiB of shared memory";
  b.grid = {grid[0], grid[1], grid[2]};
  b.size = {size[0], size[1], size[2]};
  b.fibers.resize(threads);
  b.warps.resize((threads + 31) / 32);
  b.groups.resize((threads + 127) / 128);
  b.entry = Caller<Kernel>::enter;
  b.arguments = arguments;
  b.shared_bytes = shared_bytes;
  std::unique_ptr<char[]> stacks(new char[STACK * threads]), shared(new char[shared_bytes + 1024]);
  b.shared = (char*)(((uintptr_t)shared.get() + 1023) & ~uintptr_t(1023));
  for (int i = 0; i < threads; i++) {
    Fiber& fiber = b.fibers[i];
    fiber.index = {i % size[0], i / size[0] % size[1], i / (size[0] * size[1])};
    fiber.number = i;
    fiber.lane = i & 31;
    fiber.warp = i >> 5;
  }
  block = &b;
  uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
  for (uint64_t k = 0; k < blocks && !b.error; k++) {
    uint64_t i = reversed ? blocks - 1 - k : k;
    b.index = {unsigned(i % grid[0]), unsigned(i / grid[0] % grid[1]), unsigned(i / (uint64_t(grid[0]) * grid[1]))};
    run_block(b, stacks.get());
  }
  block = nullptr;
  return b.error;
}

}  // namespace ccpu

#define CCPU_EXPORT(symbol, ...)                                                                                      \
  extern "C" __attribute__((visibility("default"))) const char* symbol(                                               \
      const unsigned* grid, const unsigned* size, size_t shared_bytes, void** arguments, const unsigned* sizes,       \
      int count, int reversed) {                                                                                      \
    return ccpu::launch<__VA_ARGS__>(grid, size, shared_bytes, arguments, sizes, count, reversed);                    \
  }

// ---- what CUDA C++ has built in ----

#define threadIdx (ccpu::block->fiber->index)
#define blockIdx (ccpu::block->index)
#define blockDim (ccpu::block->size)
#define gridDim (ccpu::block->grid)
#define DYN_SHARED(type, name) type* name = (type*)ccpu::block->shared

using std::max;
using std::min;
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T> inline T __ldg(const T* p) { return *p; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

static void __syncthreads() { ccpu::wait_as(ccpu::AT_BLOCK); }

namespace ccpu {

static void check_mask(unsigned mask) {
  if (mask != 0xffffffffu) fail("a warp instruction names fewer than all lanes, which is not emulated");
}

template <class T, class Source> static T exchange(unsigned mask, T value, Source source) {
  struct Frame { T value, result; } mine{value, value};
  check_mask(mask);
  together(&mine, [=](Frame** frames, int lanes) {
    for (int lane = 0; lane < lanes; lane++) {
      int from = source(lane);
      if (from >= 0 && from < lanes) frames[lane]->result = frames[from]->value;
    }
  });
  return mine.result;
}

}  // namespace ccpu

template <class T> inline T __shfl_sync(unsigned mask, T value, int lane) {
  struct Frame { T value, result; int lane; } mine{value, value, lane & 31};
  ccpu::check_mask(mask);
  ccpu::together(&mine, [](Frame** frames, int lanes) {
    for (int i = 0; i < lanes; i++) if (frames[i]->lane < lanes) frames[i]->result = frames[frames[i]->lane]->value;
  });
  return mine.result;
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return ccpu::exchange(mask, value, [=](int lane) { return lane ^ bits; });
}
template <class T> inline T __shfl_down_sync(unsigned mask, T value, int by) {
  return ccpu::exchange(mask, value, [=](int lane) { return lane + by; });
}
template <class T> inline T __shfl_up_sync(unsigned mask, T value, int by) {
  return ccpu::exchange(mask, value, [=](int lane) { return lane - by; });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  struct Frame { int predicate; unsigned result; } mine{predicate, 0};
  ccpu::check_mask(mask);
  ccpu::together(&mine, [](Frame** frames, int lanes) {
    unsigned bits = 0;
    for (int lane = 0; lane < lanes; lane++) bits |= unsigned(frames[lane]->predicate != 0) << lane;
    for (int lane = 0; lane < lanes; lane++) frames[lane]->result = bits;
  });
  return mine.result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { __ballot_sync(mask, 0); }

#include "ptx_on_cpu.h"
