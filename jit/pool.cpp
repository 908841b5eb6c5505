#include "jit/pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace heddle::jit {
namespace {

// A worker that has just worked looks for more for this long before it sleeps: waking it costs about 50 us, the next region of a
// chain of kernels comes sooner.
constexpr auto spin_time = std::chrono::microseconds(80);
constexpr int spins_between_clock_reads = 64;
// So many workers are moved while they are awake: each costs a system call of about a microsecond.
constexpr size_t most_moved_awake = 8;

// Parts for each thread. A thread that comes late, or shares its processor, then holds up the others by a part at most.
constexpr int64_t parts_for_each_thread = 4;

struct Region {
  host::Context* context = nullptr;
  host::ParallelBody body = nullptr;
  void* closure = nullptr;
  int64_t n = 0;
  int64_t parts = 0;
  int64_t threads = 0;
};

int64_t run_part(const Region& r, int64_t part, int64_t thread) {
  // n may be large: no product of it.
  auto from = [&](int64_t p) { return r.n / r.parts * p + r.n % r.parts * p / r.parts; };
  int64_t begin = from(part), end = from(part + 1);
  return begin < end ? r.body(r.context, r.closure, thread, begin, end) : 0;
}

thread_local bool inside_region = false;  // a nested region runs in place

// Parts that nobody has claimed, neighbours, from two sides: first in the high half of a word, end in the low one.
class alignas(64) Parts {
 public:
  void set(int64_t first, int64_t end) { range_.store(word(first, end)); }
  /// -1 when none is left.
  int64_t take_first() {
    return take([](int64_t& first, int64_t&) { return first++; });
  }
  int64_t take_last() {
    return take([](int64_t&, int64_t& end) { return --end; });
  }

 private:
  static uint64_t word(int64_t first, int64_t end) {
    return static_cast<uint64_t>(first) << 32 | static_cast<uint64_t>(end);
  }
  template <class Pick>
  int64_t take(Pick pick) {
    uint64_t now = range_.load();
    for (;;) {
      auto first = static_cast<int64_t>(now >> 32), end = static_cast<int64_t>(now & 0xffffffff);
      if (first >= end) return -1;
      const int64_t part = pick(first, end);
      if (range_.compare_exchange_weak(now, word(first, end))) return part;
    }
  }
  std::atomic<uint64_t> range_{0};
};

}  // namespace

// Each thread has neighbouring parts to begin with, the same ones in each call, so that it finds in its caches what it had there; whoever
// is done with his own claims those of others, from their end. So where a worker comes late (another pool has the processor, or it sleeps),
// the caller has taken its parts by then, and nobody waits for it. Which thread ran a part shows nowhere: a part writes its own cells, and
// its temporaries lie in the slice of the thread that runs it.
struct ThreadPool::State {
  std::mutex busy;  // held by the caller whose region runs
  std::vector<std::thread> workers;
  std::atomic<uint32_t> generation{0};  // odd while a region is open; each region has a number of its own
  std::atomic<int64_t> done{0};         // parts that are finished
  std::atomic<int64_t> inside{0};       // workers that may look at `region`
  std::atomic<int64_t> asleep{0};       // workers that must be woken
  std::atomic<int64_t> status{0};
  std::atomic<bool> stop{false};
  Region region;
  std::vector<Parts> parts;  // of each thread
  pid_t owner = getpid();
  int kept_off = -1;   // the processor that workers are kept off
  size_t kept_on = 0;  // how many of them

  uint32_t await(uint32_t seen) {
    auto deadline = std::chrono::steady_clock::now() + spin_time;
    for (int i = 1;; ++i) {
      uint32_t now = generation.load();
      if (now != seen && now % 2 == 1) return now;
      _mm_pause();
      if (i % spins_between_clock_reads == 0 && std::chrono::steady_clock::now() > deadline) break;
    }
    asleep.fetch_add(1);
    for (;;) {
      uint32_t now = generation.load();
      if (stop.load() || (now != seen && now % 2 == 1)) {
        asleep.fetch_sub(1);
        return now;
      }
      generation.wait(now);
    }
  }

  // A worker that has slept for some milliseconds, or is new, may be put on the caller's own processor, though another one is idle, and waits
  // there until the system balances its load: a millisecond or more (seen on Linux 6.18). So workers are kept off it, within what the caller
  // may use.
  void keep_off_the_caller() {
    const int here = sched_getcpu();
    const bool same_workers = kept_on == workers.size();
    if (here < 0 || here >= CPU_SETSIZE || (here == kept_off && same_workers)) return;
    if (same_workers && workers.size() > most_moved_awake && asleep.load() == 0) return;
    cpu_set_t may;
    if (pthread_getaffinity_np(pthread_self(), sizeof may, &may) != 0 || CPU_COUNT(&may) < 2) return;
    CPU_CLR(here, &may);
    for (std::thread& w : workers) pthread_setaffinity_np(w.native_handle(), sizeof may, &may);
    kept_off = here, kept_on = workers.size();
  }

  void work(int64_t index, uint32_t seen) {
    inside_region = true;
    for (;;) {
      seen = await(seen);
      if (stop.load()) return;
      // Entered first, looked at after: the caller closes a region first and looks for workers after.
      inside.fetch_add(1);
      if (generation.load() == seen) claim(index);
      inside.fetch_sub(1);
    }
  }

  void claim(int64_t thread) {
    const int64_t threads = region.threads;
    if (thread >= threads) return;  // fewer threads are wanted than there are workers
    auto run = [&](int64_t part) {
      int64_t none = 0;
      if (int64_t result = run_part(region, part, thread)) status.compare_exchange_strong(none, result);
      done.fetch_add(1);
    };
    for (int64_t part; (part = parts[static_cast<size_t>(thread)].take_first()) >= 0;) run(part);
    for (int64_t other = thread + 1; other < thread + threads; ++other)
      for (int64_t part; (part = parts[static_cast<size_t>(other % threads)].take_last()) >= 0;) run(part);
  }

  // Where the system gives no more threads, those there are do the work: parts are claimed, not dealt out.
  void grow(int64_t count) {
    while (static_cast<int64_t>(workers.size()) < count) {
      int64_t index = static_cast<int64_t>(workers.size()) + 1;
      uint32_t seen = generation.load();
      try {
        workers.emplace_back([this, index, seen] { work(index, seen); });
      } catch (const std::system_error&) {
        return;
      }
    }
  }

  int64_t run(const Region& now) {
    grow(now.threads - 1);
    region = now;
    if (parts.size() < static_cast<size_t>(now.threads)) parts = std::vector<Parts>(static_cast<size_t>(now.threads));
    for (int64_t t = 0; t < now.threads; ++t)
      parts[static_cast<size_t>(t)].set(now.parts * t / now.threads, now.parts * (t + 1) / now.threads);
    done.store(0), status.store(0);
    keep_off_the_caller();
    generation.fetch_add(1);
    generation.notify_all();
    inside_region = true;
    claim(0);
    inside_region = false;
    wait_until([&] { return done.load() == now.parts; });
    generation.fetch_add(1);
    wait_until([&] { return inside.load() == 0; });
    return status.load();
  }

  template <class Condition>
  static void wait_until(Condition holds) {
    for (int spins = 1; !holds(); ++spins) {
      _mm_pause();
      if (spins % 4096 == 0) std::this_thread::yield();  // fewer processors than workers
    }
  }
};

ThreadPool::ThreadPool() : state_(std::make_unique<State>()) {}

ThreadPool::~ThreadPool() {
  if (state_->owner != getpid()) {  // a forked child has no workers to join
    for (std::thread& w : state_->workers) w.detach();
    return;
  }
  state_->stop.store(true);
  state_->generation.fetch_add(1);
  state_->generation.notify_all();
  for (std::thread& w : state_->workers) w.join();
}

int64_t ThreadPool::parallel_for(host::Context* context, host::ParallelBody body, void* closure, int64_t n) {
  auto* pool = static_cast<ThreadPool*>(context->pool);
  const int64_t threads = std::clamp<int64_t>(context->threads, 1, std::clamp<int64_t>(n, 1, most_threads));
  Region region{context, body, closure, n, std::min(n, threads > 1 ? threads * parts_for_each_thread : 1), threads};
  State* state = pool ? pool->state_.get() : nullptr;
  // After fork() the workers are gone: the child runs its regions alone.
  bool alone = threads == 1 || inside_region || !state || state->owner != getpid() || !state->busy.try_lock();
  if (alone) return n > 0 ? body(context, closure, 0, 0, n) : 0;
  std::lock_guard held(state->busy, std::adopt_lock);
  return state->run(region);
}

}  // namespace heddle::jit
