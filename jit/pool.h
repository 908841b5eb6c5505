// The thread pool behind `parallel` loops: fork-join over equal parts, a few for each thread.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/host/abi.h"

namespace heddle::jit {

class ThreadPool {
 public:
  /// A caller who asks for more gets so many.
  static constexpr int most_threads = 1024;

  /// Starts no thread until the first region that wants more than one.
  ThreadPool();
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The `parallel_for` of host::Context: `context->pool` is a ThreadPool, `context->threads` says how many threads work, the
  /// caller among them. While another region runs, or inside one, everything runs on the calling thread.
  static int64_t parallel_for(host::Context* context, host::ParallelBody body, void* closure, int64_t n);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heddle::jit
