#include "jit/pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace heddle::jit {
namespace {

struct Work {
  std::vector<std::atomic<int>> hits;
  std::atomic<int64_t> most_thread{0};
  int64_t fail_at = -1;
  explicit Work(int64_t n) : hits(n) {}
};

int64_t body(host::Context*, void* closure, int64_t thread, int64_t begin, int64_t end) {
  auto* work = static_cast<Work*>(closure);
  for (int64_t seen = work->most_thread.load();
       thread > seen && !work->most_thread.compare_exchange_weak(seen, thread);) {
  }
  for (int64_t i = begin; i < end; ++i) {
    work->hits[i].fetch_add(1);
    if (i == work->fail_at) return 7;
  }
  return 0;
}

int64_t run(ThreadPool& pool, Work& work, int64_t n, int64_t threads) {
  host::Context context{};
  context.pool = &pool;
  context.threads = threads;
  return ThreadPool::parallel_for(&context, body, &work, n);
}

TEST(ThreadPool, RunsEachIterationOnce) {
  ThreadPool pool;
  for (int64_t n : {0, 1, 2, 3, 7, 64, 1000})
    for (int64_t threads : {1, 2, 3, 8}) {
      Work work(n);
      EXPECT_EQ(run(pool, work, n, threads), 0);
      for (int64_t i = 0; i < n; ++i) ASSERT_EQ(work.hits[i].load(), 1) << n << " over " << threads << " at " << i;
      EXPECT_LT(work.most_thread.load(), threads);
    }
}

TEST(ThreadPool, ManyRegionsInARow) {
  ThreadPool pool;
  Work work(16);
  for (int i = 0; i < 20000; ++i) ASSERT_EQ(run(pool, work, 16, 1 + i % 4), 0);
  for (auto& hit : work.hits) EXPECT_EQ(hit.load(), 20000);
}

TEST(ThreadPool, TheFirstFailureIsTheResult) {
  ThreadPool pool;
  Work work(100);
  work.fail_at = 42;
  EXPECT_EQ(run(pool, work, 100, 4), 7);
  work.fail_at = -1;
  EXPECT_EQ(run(pool, work, 100, 4), 0);
}

struct Places {
  std::atomic<int> workers{0};
  std::atomic<int> processors{0};  // that a worker may run on
};

int64_t note_place(host::Context*, void* closure, int64_t thread, int64_t, int64_t) {
  auto* places = static_cast<Places*>(closure);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  cpu_set_t may;
  if (thread == 0 || pthread_getaffinity_np(pthread_self(), sizeof may, &may) != 0) return 0;
  places->workers.fetch_add(1);
  places->processors.store(CPU_COUNT(&may));
  return 0;
}

TEST(ThreadPool, WorkersThatSleptKeepOffTheCaller) {
  cpu_set_t may;
  ASSERT_EQ(pthread_getaffinity_np(pthread_self(), sizeof may, &may), 0);
  if (CPU_COUNT(&may) < 2) GTEST_SKIP() << "one processor";
  ThreadPool pool;
  host::Context context{};
  context.pool = &pool;
  context.threads = 2;
  Places places;
  ASSERT_EQ(ThreadPool::parallel_for(&context, note_place, &places, 8), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // longer than workers look for work
  places.workers = 0;
  ASSERT_EQ(ThreadPool::parallel_for(&context, note_place, &places, 8), 0);
  ASSERT_GT(places.workers.load(), 0);
  EXPECT_EQ(places.processors.load(), CPU_COUNT(&may) - 1);
}

TEST(ThreadPool, CallersFromManyThreads) {
  ThreadPool pool;
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        Work work(33);
        if (run(pool, work, 33, 3) != 0) ++wrong;
        for (auto& hit : work.hits)
          if (hit.load() != 1) ++wrong;
      }
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace heddle::jit
