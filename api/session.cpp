#include "api/session.h"

#include "api/machine.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include "backend/host/codegen.h"
#include "backend/host/target.h"
#include "support/build_id.h"

namespace heddle::api {
namespace {

// Blocks beyond this many wait for nobody: more calls at once than that are rare.
constexpr size_t kept_blocks = 8;
// More than the files of the library.
constexpr size_t kept_imports = 100;

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

constexpr int64_t default_megabytes = 256;
constexpr const char* no_build = "this build has no build id";

std::string variable(const char* name) {
  const char* value = ::secure_getenv(name);
  return value ? value : "";
}

jit::DiskCache cache_of_environment() {
  const char* given = ::secure_getenv("HEDDLE_CACHE");
  std::string folder = given ? given : "";
  if (given && (folder.empty() || folder == "off" || folder == "0"))
    return jit::DiskCache("switched off by HEDDLE_CACHE");
  if (folder.empty() && !variable("XDG_CACHE_HOME").empty()) folder = variable("XDG_CACHE_HOME") + "/heddle";
  if (folder.empty() && !variable("HOME").empty()) folder = variable("HOME") + "/.cache/heddle";
  if (folder.empty()) return jit::DiskCache("neither HEDDLE_CACHE, XDG_CACHE_HOME nor HOME is set");
  int64_t megabytes = std::strtoll(variable("HEDDLE_CACHE_MB").c_str(), nullptr, 10);
  return jit::DiskCache::open(folder, (megabytes > 0 && megabytes < (1 << 20) ? megabytes : default_megabytes) << 20);
}

// The session outlives everything, so what waits to be stored is waited for here.
struct AtExit {
  ~AtExit() { session().cache().flush(); }
};

}  // namespace

Arenas::~Arenas() {
  for (Block& b : free_) std::free(b.data);
}

Arenas::Block Arenas::take(size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    for (size_t i = free_.size(); i-- > 0;) {
      if (free_[i].bytes < bytes) continue;
      Block found = free_[i];
      free_.erase(free_.begin() + i);
      return found;
    }
  }
  size_t rounded = (bytes + 4095) / 4096 * 4096;
  auto* data = static_cast<unsigned char*>(std::aligned_alloc(4096, rounded));
  return {data, data ? rounded : 0};
}

void Arenas::give(Block block) {
  if (!block.data) return;
  std::lock_guard lock(mutex_);
  free_.push_back(block);
  if (free_.size() <= kept_blocks) return;
  std::free(free_.front().data);
  free_.erase(free_.begin());
}

Session::Session() : host(host::host_target()), threads_(processors()) {}

const frontend::Module& Session::machine() {
  std::call_once(machine_read_, [&] {
    for (const MachineText& text : machine_texts()) {
      // The texts are part of the program, and a test reads them all: what does not read is left out.
      Result<frontend::Module> more = frontend::read_module(Source::make(text.name, text.text), &machine_);
      if (more.ok()) machine_ = std::move(*more);
    }
  });
  return machine_;
}

std::shared_ptr<const frontend::Module> Session::imported(const std::string& file, const std::string& text) {
  std::lock_guard lock(mutex_);
  auto at = imported_.find(file);
  return at == imported_.end() || at->second.text != text ? nullptr : at->second.module;
}

void Session::keep_imported(const std::string& file, std::string text, std::shared_ptr<const frontend::Module> module) {
  std::lock_guard lock(mutex_);
  if (imported_.size() >= kept_imports) imported_.clear();
  imported_[file] = {std::move(text), std::move(module)};
}

std::shared_ptr<KernelImpl> Session::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto at = kernels_.find(key);
  return at == kernels_.end() ? nullptr : at->second.lock();
}

void Session::remember(const std::string& key, const std::shared_ptr<KernelImpl>& kernel) {
  std::lock_guard lock(mutex_);
  kernels_[key] = kernel;
  if (kernels_.size() % 256 == 0)
    for (auto at = kernels_.begin(); at != kernels_.end();)
      at = at->second.expired() ? kernels_.erase(at) : std::next(at);
}

jit::DiskCache& Session::cache() {
  std::lock_guard lock(cache_mutex_);
  if (!cache_) use(build().empty() ? jit::DiskCache(no_build) : cache_of_environment());
  return *cache_;
}

void Session::set_cache(const std::string& folder, int64_t megabytes) {
  jit::DiskCache made = folder.empty()    ? jit::DiskCache("switched off")
                        : build().empty() ? jit::DiskCache(no_build)
                                          : jit::DiskCache::open(folder, std::max<int64_t>(megabytes, 1) << 20);
  std::lock_guard lock(cache_mutex_);
  if (cache_) cache_->flush();
  use(std::move(made));
}

void Session::use(jit::DiskCache cache) {
  if (cache_) former_.push_back(std::move(cache_));
  cache_ = std::make_unique<jit::DiskCache>(std::move(cache));
  static AtExit flush;
}

const std::string& Session::build() {
  static const std::string text = [] {
    const std::string ours = build_id(reinterpret_cast<const void*>(&processors)), llvm = host::llvm_build();
    return ours.empty() || llvm.empty() ? "" : ours + " " + llvm;
  }();
  return text;
}

Session& session() {
  // Never destroyed: kernels may be freed by other threads while the process ends.
  static Session* one = new Session;
  return *one;
}

}  // namespace heddle::api
