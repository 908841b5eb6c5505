// Machine code in this process: object files are linked into memory and freed with their last handle. Any number of threads may
// load at once. No LLVM type crosses this header.
#pragma once

#include <memory>
#include <vector>

#include "backend/host/abi.h"
#include "support/result.h"

namespace heddle::jit {

struct EngineState;

/// The code of one kernel. It keeps its engine's state alive; its memory is returned when the last handle goes.
class LoadedKernel {
 public:
  ~LoadedKernel();
  LoadedKernel(const LoadedKernel&) = delete;
  LoadedKernel& operator=(const LoadedKernel&) = delete;

  host::KernelFunction kernel() const { return kernel_; }
  host::ArenaFunction arena() const { return arena_; }

 private:
  friend class Engine;
  struct Code;
  LoadedKernel();
  std::unique_ptr<Code> code_;
  host::KernelFunction kernel_ = nullptr;
  host::ArenaFunction arena_ = [](const uint64_t*) -> int64_t { return 0; };
};

class Engine {
 public:
  Engine();
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Links an object that exports `kernel`, and `kernel_arena` unless that is always 0.
  Result<std::shared_ptr<LoadedKernel>> load(const std::vector<char>& object);

 private:
  std::shared_ptr<EngineState> state_;
};

}  // namespace heddle::jit
