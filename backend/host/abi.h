// The kernel ABI: `int64 kernel(Context*, const uint64_t* args)`, the same for JIT and ahead-of-time code.
//
// `args` is one flat array of 8-byte words, in the order of ArgLayout: for each array parameter its data pointer and then one
// stride (in elements) for each array axis; then every dim of program.dims that is not fixed, in order; then the scalars (floats
// as the bits of their own type in the low bytes, integers sign-extended).
// Beside `kernel` stands `int64 kernel_arena(const uint64_t* args)`: bytes of dram/l2/l1 temporaries that each thread needs, where
// it has any. The caller hands them in; a kernel never allocates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/program.h"

namespace heddle::host {

struct CheckReport {
  int64_t check = -1;  ///< index into Compiled::checks
  int64_t coordinates[8] = {};
  int64_t count = 0;
};

struct Context;
/// Runs [begin, end) of a parallel loop; `thread` (from 0) picks the thread's slice of the arena.
using ParallelBody = int64_t (*)(Context*, void* closure, int64_t thread, int64_t begin, int64_t end);

/// About 3 us of work: half of it is what a fork and a join cost, with what moves to another core's caches.
constexpr int64_t worth_sharing = 28000;

struct Context {
  /// Splits [0, n) over the threads, runs the body, returns the first nonzero status. Nested calls run in place.
  int64_t (*parallel_for)(Context*, ParallelBody body, void* closure, int64_t n);
  void* pool;            ///< of parallel_for
  unsigned char* arena;  ///< thread t owns [t * arena_stride, (t + 1) * arena_stride); 64-byte aligned
  int64_t arena_stride;
  int64_t threads;
  int64_t shared_from;  ///< regions of fewer vector operations (effort.h) run on the calling thread
  CheckReport report;   ///< filled by the first failing check
};

using KernelFunction = int64_t (*)(Context*, const uint64_t* args);
using ArenaFunction = int64_t (*)(const uint64_t* args);

enum Status : int64_t { status_ok = 0, status_check_failed = 1, status_cancelled = 2 };

/// Where each thing stands in `args`.
struct ArgLayout {
  struct Array {
    ir::BufferId buffer;
    int word = 0;  ///< of the pointer; strides follow
    int rank = 0;
  };
  std::vector<Array> arrays;                          ///< in parameter order
  std::vector<std::pair<ir::SymbolId, int>> dims;     ///< symbol, word
  std::vector<std::pair<ir::SymbolId, int>> scalars;  ///< symbol, word
  int words = 0;
};
ArgLayout arg_layout(const ir::Program& program);

/// What is known of an array argument at compile time; part of a kernel's key.
struct ArgTraits {
  bool unit_inner_stride = false;
  bool aligned_64 = false;
};

}  // namespace heddle::host
