#include "jit/pool.h"

#include <immintrin.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace heddle::jit {
namespace {

// A worker that has just worked looks for more for this long before it sleeps: waking it costs about 50 us, the next region of a
// chain of kernels comes sooner.
constexpr auto spin_time = std::chrono::microseconds(60);
constexpr int spins_between_clock_reads = 64;

struct Region {
  host::Context* context = nullptr;
  host::ParallelBody body = nullptr;
  void* closure = nullptr;
  int64_t n = 0;
  int64_t parts = 0;
};

int64_t run_part(const Region& r, int64_t part, int64_t thread) {
  int64_t begin = r.n * part / r.parts, end = r.n * (part + 1) / r.parts;
  return begin < end ? r.body(r.context, r.closure, thread, begin, end) : 0;
}

thread_local bool inside_region = false;  // a nested region runs in place

}  // namespace

struct ThreadPool::State {
  struct Worker {
    std::thread thread;
  };
  std::mutex busy;                       // held by the caller whose region runs
  std::vector<Worker> workers;
  std::atomic<uint32_t> generation{0};   // a new value: a new region stands in `region`
  std::atomic<int64_t> pending{0};       // workers that have not finished it
  std::atomic<int64_t> status{0};
  std::atomic<bool> stop{false};
  Region region;
  pid_t owner = getpid();

  uint32_t await(uint32_t seen) {
    auto deadline = std::chrono::steady_clock::now() + spin_time;
    for (int i = 1;; ++i) {
      uint32_t now = generation.load(std::memory_order_acquire);
      if (now != seen) return now;
      _mm_pause();
      if (i % spins_between_clock_reads == 0 && std::chrono::steady_clock::now() > deadline) break;
    }
    generation.wait(seen, std::memory_order_acquire);
    return generation.load(std::memory_order_acquire);
  }

  void work(int64_t index, uint32_t seen) {
    inside_region = true;
    for (;;) {
      seen = await(seen);
      if (stop.load(std::memory_order_acquire)) return;
      if (index < region.parts) note(run_part(region, index, index));
      pending.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void note(int64_t result) {
    int64_t none = 0;
    if (result != 0) status.compare_exchange_strong(none, result);
  }

  void grow(int64_t count) {
    while (static_cast<int64_t>(workers.size()) < count) {
      int64_t index = static_cast<int64_t>(workers.size()) + 1;
      uint32_t seen = generation.load();
      workers.push_back({std::thread([this, index, seen] { work(index, seen); })});
    }
  }

  int64_t run(const Region& next) {
    grow(next.parts - 1);
    region = next;
    status.store(0, std::memory_order_relaxed);
    pending.store(static_cast<int64_t>(workers.size()), std::memory_order_relaxed);
    generation.fetch_add(1, std::memory_order_release);
    generation.notify_all();
    inside_region = true;
    note(run_part(next, 0, 0));
    inside_region = false;
    for (int spins = 1; pending.load(std::memory_order_acquire) != 0; ++spins) {
      _mm_pause();
      if (spins % 4096 == 0) std::this_thread::yield();  // fewer processors than workers
    }
    return status.load();
  }
};

ThreadPool::ThreadPool() : state_(std::make_unique<State>()) {}

ThreadPool::~ThreadPool() {
  if (state_->owner != getpid()) {  // a forked child has no workers to join
    for (auto& w : state_->workers) w.thread.detach();
    return;
  }
  state_->stop.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_release);
  state_->generation.notify_all();
  for (auto& w : state_->workers) w.thread.join();
}

int64_t ThreadPool::parallel_for(host::Context* context, host::ParallelBody body, void* closure, int64_t n) {
  auto* pool = static_cast<ThreadPool*>(context->pool);
  Region region{context, body, closure, n, std::clamp<int64_t>(context->threads, 1, std::max<int64_t>(n, 1))};
  State* state = pool ? pool->state_.get() : nullptr;
  // After fork() the workers are gone: the child runs its regions alone.
  bool alone = region.parts == 1 || inside_region || !state || state->owner != getpid() || !state->busy.try_lock();
  if (alone) {
    for (int64_t part = 0; part < region.parts; ++part)
      if (int64_t status = run_part(region, part, 0)) return status;
    return 0;
  }
  std::lock_guard held(state->busy, std::adopt_lock);
  return state->run(region);
}

}  // namespace heddle::jit
