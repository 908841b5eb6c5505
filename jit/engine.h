// The engine: machine code in memory. Objects go in, callable kernels come out; the code of a kernel is freed with its last holder.
#pragma once

#include <memory>
#include <vector>

#include "backend/host/abi.h"
#include "support/result.h"

namespace heddle::jit {

/// Linked code of one kernel.
class LoadedKernel {
 public:
  virtual ~LoadedKernel() = default;
  host::KernelFunction kernel() const { return kernel_; }
  host::ArenaFunction arena() const { return arena_; }

 protected:
  host::KernelFunction kernel_ = nullptr;
  host::ArenaFunction arena_ = nullptr;
};

/// Any number of threads may load and free kernels at once.
class Engine {
 public:
  Engine();
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Links a relocatable object that defines `kernel` and `kernel_arena` (backend/host/abi.h). No page is ever writable and executable.
  Result<std::shared_ptr<LoadedKernel>> load(const std::vector<char>& object);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace heddle::jit
