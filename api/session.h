// What the process shares: the engine that holds machine code, the thread pool, arenas, and kernels by key. Made on first use.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "frontend/module.h"
#include "ir/target.h"
#include "jit/cache.h"
#include "jit/engine.h"
#include "jit/pool.h"

namespace heddle::api {

struct KernelImpl;

/// Memory for temporaries, handed out to one call at a time and kept for the next.
class Arenas {
 public:
  ~Arenas();
  struct Block {
    unsigned char* data = nullptr;
    size_t bytes = 0;
  };
  /// A block of at least `bytes`, 64-byte aligned; its data is null when there is no memory.
  Block take(size_t bytes);
  void give(Block block);

 private:
  std::mutex mutex_;
  std::vector<Block> free_;
};

class Session {
 public:
  Session();
  jit::Engine engine;
  jit::ThreadPool pool;
  Arenas arenas;
  ir::Target host;  ///< the best member of this machine

  /// What stays on disk; opened on first use.
  jit::DiskCache& cache();
  void set_cache(const std::string& folder, int64_t megabytes);
  /// This build of Heddle and of LLVM, part of every key on disk; empty where it cannot be told: then nothing is kept.
  const std::string& build();
  /// The instructions of stdlib/machine, read on first use.
  const frontend::Module& machine();

  /// A file that was imported before and imports nothing itself, with this very text; null when there is none. A library file is
  /// part of many texts.
  std::shared_ptr<const frontend::Module> imported(const std::string& file, const std::string& text);
  void keep_imported(const std::string& file, std::string text, std::shared_ptr<const frontend::Module> module);

  int threads() const { return threads_; }
  void set_threads(int count) { threads_ = std::clamp(count, 1, jit::ThreadPool::most_threads); }

  /// The live kernel of a key, or null. Kernels are held by their users; the table only finds them.
  std::shared_ptr<KernelImpl> find(const std::string& key);
  void remember(const std::string& key, const std::shared_ptr<KernelImpl>& kernel);

 private:
  struct Imported {
    std::string text;
    std::shared_ptr<const frontend::Module> module;
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Imported> imported_;
  std::once_flag machine_read_;
  frontend::Module machine_;
  std::unordered_map<std::string, std::weak_ptr<KernelImpl>> kernels_;
  int threads_ = 1;
  std::mutex cache_mutex_;
  void use(jit::DiskCache cache);
  std::unique_ptr<jit::DiskCache> cache_;
  std::vector<std::unique_ptr<jit::DiskCache>> former_;  // others may still be using them
};

/// The one session of the process.
Session& session();

}  // namespace heddle::api
