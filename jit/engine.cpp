#include "jit/engine.h"

#include <atomic>
#include <cstring>
#include <mutex>

#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Process.h>

#include "jit/codes.h"

namespace heddle::jit {

using llvm::orc::ExecutionSession;
using llvm::orc::JITDylib;

// Not LLJIT: kernels arrive as objects, so its compile layers would stand idle, and its making costs a millisecond. One lock around
// each link: a link takes some 0.3 ms and everything before it runs in parallel; ORC's own way to be safe starts a thread for each.
struct EngineState {
  std::mutex mutex;
  std::unique_ptr<ExecutionSession> session;
  std::unique_ptr<llvm::orc::ObjectLinkingLayer> layer;
  JITDylib* library = nullptr;  ///< what kernels may call
  uint64_t made = 0;
  std::string broken;

  EngineState() {
    auto control =
        llvm::orc::SelfExecutorProcessControl::Create(nullptr, std::make_unique<llvm::orc::InPlaceTaskDispatcher>());
    if (!control) {
      broken = llvm::toString(control.takeError());
      return;
    }
    session = std::make_unique<ExecutionSession>(std::move(*control));
    layer = std::make_unique<llvm::orc::ObjectLinkingLayer>(*session, session->getExecutorProcessControl().getMemMgr());
    library = &session->createBareJITDylib("library");
    llvm::orc::SymbolMap symbols;
    auto define = [&](const char* name, auto* function) {
      symbols[session->intern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported};
    };
    define("memcpy", static_cast<void* (*)(void*, const void*, size_t)>(std::memcpy));
    define("memset", static_cast<void* (*)(void*, int, size_t)>(std::memset));
    define("memmove", static_cast<void* (*)(void*, const void*, size_t)>(std::memmove));
    if (auto e = library->define(llvm::orc::absoluteSymbols(std::move(symbols)))) broken = llvm::toString(std::move(e));
  }
  ~EngineState() {
    if (session) llvm::consumeError(session->endSession());
  }
};

struct LoadedKernel::Code {
  std::shared_ptr<EngineState> state;
  JITDylib* library = nullptr;
};

LoadedKernel::LoadedKernel() : code_(std::make_unique<Code>()) {}

LoadedKernel::~LoadedKernel() {
  if (!code_->library) return;
  std::lock_guard lock(code_->state->mutex);
  llvm::consumeError(code_->state->session->removeJITDylib(*code_->library));
}

Engine::Engine() : state_(std::make_shared<EngineState>()) {}
Engine::~Engine() = default;

Result<std::shared_ptr<LoadedKernel>> Engine::load(const std::vector<char>& object) {
  std::lock_guard lock(state_->mutex);
  auto refused = [](const std::string& why) {
    return Diagnostic(codes::cannot_link, {}, "compiled code cannot be loaded: " + why);
  };
  if (!state_->broken.empty()) return refused(state_->broken);
  ExecutionSession& session = *state_->session;
  std::shared_ptr<LoadedKernel> out(new LoadedKernel);
  // A library for each kernel: all export the same names. Removing it returns its memory (two mappings each: without that the
  // process dies at kernel 32,709).
  JITDylib& library = session.createBareJITDylib("kernel" + std::to_string(state_->made++));
  library.addToLinkOrder(*state_->library);
  auto drop = [&] { llvm::consumeError(session.removeJITDylib(library)); };
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy({object.data(), object.size()}, "kernel");
  if (auto e = state_->layer->add(library, std::move(buffer))) {
    drop();
    return refused(llvm::toString(std::move(e)));
  }
  const auto kernel = session.intern("kernel"), arena = session.intern("kernel_arena");
  llvm::orc::SymbolLookupSet wanted;
  wanted.add(kernel);
  wanted.add(arena, llvm::orc::SymbolLookupFlags::WeaklyReferencedSymbol);
  auto found = session.lookup(llvm::orc::makeJITDylibSearchOrder(&library), std::move(wanted));
  if (!found) {
    drop();
    return refused(llvm::toString(found.takeError()));
  }
  out->kernel_ = (*found)[kernel].getAddress().toPtr<host::KernelFunction>();
  if (auto sized = found->find(arena); sized != found->end() && sized->second.getAddress())
    out->arena_ = sized->second.getAddress().toPtr<host::ArenaFunction>();
  out->code_->state = state_;
  out->code_->library = &library;
  return out;
}

}  // namespace heddle::jit
