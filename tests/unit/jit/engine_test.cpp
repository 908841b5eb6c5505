// The engine under many threads and many kernels: code is freed with its last handle, and no page is writable and executable.
#include "jit/engine.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>

#include "backend/host/target.h"
#include "run.h"

namespace heddle::jit::testing {
namespace {

host::Compiled twice() {
  const ir::Program p =
      program_of_op("op twice(x: f32[n]) -> y: f32[n] { y[i] = x[i] + x[i] }", "twice", ir::ScalarType::f32, "", {});
  Result<host::Compiled> c = host::compile(p, host::host_target(), {{true, false}, {true, false}});
  EXPECT_TRUE(c.ok());
  return *c;
}

// Runs it on a few numbers.
bool right(const LoadedKernel& kernel) {
  float x[5] = {1, 2, 3, 4, 5}, y[5] = {};
  const uint64_t words[] = {reinterpret_cast<uint64_t>(x), 1, reinterpret_cast<uint64_t>(y), 1, 5};
  host::Context context{};
  if (kernel.arena()(words) != 0 || kernel.kernel()(&context, words) != 0) return false;
  for (int i = 0; i < 5; ++i)
    if (y[i] != 2 * x[i]) return false;
  return true;
}

int mappings(bool* writable_code = nullptr) {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line); ++count)
    if (writable_code && line.find(" rwx") != std::string::npos) *writable_code = true;
  return count;
}

TEST(Engine, loads_and_frees_without_growing) {
  const host::Compiled c = twice();
  Engine engine;
  {
    Result<std::shared_ptr<LoadedKernel>> first = engine.load(c.object);
  }
  const int before = mappings();
  for (int i = 0; i < 2000; ++i) {
    Result<std::shared_ptr<LoadedKernel>> kernel = engine.load(c.object);
    ASSERT_TRUE(kernel.ok()) << render(kernel.errors());
    if (i % 500 == 0) ASSERT_TRUE(right(**kernel));
  }
  EXPECT_LT(mappings(), before + 20);
}

TEST(Engine, kernels_outlive_the_engine) {
  const host::Compiled c = twice();
  std::shared_ptr<LoadedKernel> kernel;
  {
    Engine engine;
    kernel = *engine.load(c.object);
  }
  EXPECT_TRUE(right(*kernel));
}

TEST(Engine, many_threads_compile_load_and_run) {
  Engine engine;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      const host::Compiled c = twice();
      for (int i = 0; i < 25; ++i) {
        Result<std::shared_ptr<LoadedKernel>> kernel = engine.load(c.object);
        if (kernel.ok() && right(**kernel)) ++good;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(good, 200);
}

TEST(Engine, no_page_is_writable_and_executable) {
  Engine engine;
  auto kernel = *engine.load(twice().object);
  bool writable_code = false;
  mappings(&writable_code);
  EXPECT_FALSE(writable_code);
}

TEST(Engine, broken_objects_are_refused) {
  Engine engine;
  std::vector<char> object = twice().object;
  for (size_t cut : {size_t{0}, size_t{3}, size_t{100}, object.size() / 2}) {
    std::vector<char> part(object.begin(), object.begin() + static_cast<ptrdiff_t>(cut));
    Result<std::shared_ptr<LoadedKernel>> kernel = engine.load(part);
    EXPECT_FALSE(kernel.ok()) << cut;
  }
  EXPECT_TRUE(right(**engine.load(object)));
}

}  // namespace
}  // namespace heddle::jit::testing
