#include "api/session.h"

#include <sched.h>

#include <cstdlib>

#include "backend/host/target.h"

namespace heddle::api {
namespace {

// Blocks beyond this many wait for nobody: more calls at once than that are rare.
constexpr size_t kept_blocks = 8;

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

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

Session& session() {
  // Never destroyed: kernels may be freed by other threads while the process ends.
  static Session* one = new Session;
  return *one;
}

}  // namespace heddle::api
