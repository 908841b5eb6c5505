#include "jit/engine.h"

#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Support/TargetSelect.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "jit/codes.h"

namespace heddle::jit {

namespace orc = llvm::orc;

struct Engine::State {
  std::unique_ptr<orc::LLJIT> jit;
  std::string failure;             // why there is no jit
  std::atomic<uint64_t> count{0};  // a dylib of its own for each kernel, so that all may be called `kernel`
};

namespace {

Diagnostic cannot_link(llvm::Error error) {
  return Diagnostic(codes::cannot_link, {}, "compiled code could not be loaded: " + llvm::toString(std::move(error)));
}

// Frees the code: without this, every kernel would hold its mappings until the process has no more to give (65,530 on Linux).
template <class State>
class Linked final : public LoadedKernel {
 public:
  Linked(std::shared_ptr<State> state, orc::JITDylib& dylib, host::KernelFunction kernel, host::ArenaFunction arena)
      : state_(std::move(state)), dylib_(dylib) {
    kernel_ = kernel;
    arena_ = arena;
  }
  ~Linked() override {
    llvm::consumeError(state_->jit->getExecutionSession().removeJITDylib(dylib_));
  }

 private:
  std::shared_ptr<State> state_;
  orc::JITDylib& dylib_;
};

}  // namespace

Engine::Engine() : state_(std::make_shared<State>()) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto machine = orc::JITTargetMachineBuilder::detectHost();
  if (!machine) {
    state_->failure = llvm::toString(machine.takeError());
    return;
  }
  // Without concurrent compilation, adding and looking up from several threads corrupts the session (10 of 10 runs).
  auto made = orc::LLJITBuilder()
                  .setJITTargetMachineBuilder(std::move(*machine))
                  .setSupportConcurrentCompilation(true)
                  .setObjectLinkingLayerCreator([](orc::ExecutionSession& session) -> llvm::Expected<std::unique_ptr<orc::ObjectLayer>> {
                    return std::make_unique<orc::ObjectLinkingLayer>(session);
                  })
                  .create();
  if (!made) {
    state_->failure = llvm::toString(made.takeError());
    return;
  }
  state_->jit = std::move(*made);
}

Engine::~Engine() = default;

Result<std::shared_ptr<LoadedKernel>> Engine::load(const std::vector<char>& object) {
  if (!state_->jit) return Diagnostic(codes::cannot_link, {}, "the run-time linker could not start: " + state_->failure);
  orc::ExecutionSession& session = state_->jit->getExecutionSession();
  auto dylib = session.createJITDylib("kernel." + std::to_string(state_->count++));
  if (!dylib) return cannot_link(dylib.takeError());
  auto drop = [&](llvm::Error error) {
    llvm::consumeError(session.removeJITDylib(*dylib));
    return cannot_link(std::move(error));
  };
  // What LLVM may call for on its own.
  orc::SymbolMap memory;
  auto define = [&](const char* name, auto* function) {
    memory[session.intern(name)] = {orc::ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  };
  define("memcpy", static_cast<void* (*)(void*, const void*, size_t)>(std::memcpy));
  define("memset", static_cast<void* (*)(void*, int, size_t)>(std::memset));
  define("memmove", static_cast<void* (*)(void*, const void*, size_t)>(std::memmove));
  if (auto error = dylib->define(orc::absoluteSymbols(std::move(memory)))) return drop(std::move(error));

  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(object.data(), object.size()), "kernel.o");
  if (auto error = state_->jit->addObjectFile(*dylib, std::move(buffer))) return drop(std::move(error));
  auto kernel = state_->jit->lookup(*dylib, "kernel");
  if (!kernel) return drop(kernel.takeError());
  auto arena = state_->jit->lookup(*dylib, "kernel_arena");
  if (!arena) return drop(arena.takeError());
  return std::shared_ptr<LoadedKernel>(
      std::make_shared<Linked<State>>(state_, *dylib, kernel->toPtr<host::KernelFunction>(), arena->toPtr<host::ArenaFunction>()));
}

}  // namespace heddle::jit
