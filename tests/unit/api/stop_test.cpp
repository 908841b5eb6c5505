#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "api/heddle/heddle.h"

namespace heddle {
namespace {

// A chain of stages in one nest: some hundred milliseconds to compile.
std::string chain(int stages) {
  std::string body = "  s0[i, j] = x[i, j] * 2\n", steps;
  for (int k = 1; k < stages; ++k) {
    std::string before = "s" + std::to_string(k - 1) + "[i, j]";
    body += "  s" + std::to_string(k) + "[i, j] = " + before + " * 1.5 + exp(" + before + ")\n";
  }
  for (int k = stages; k-- > 0;) steps += "  compute_at s" + std::to_string(k) + " at y.i\n";
  return "op chain(x: f32[m, n]) -> y: f32[m, n] {\n" + body + "  y[i, j] = s" + std::to_string(stages - 1) +
         "[i, j]\n}\nschedule chain.deep on cpu {\n" + steps + "}\n";
}

class Stopping : public ::testing::Test {
 protected:
  Stopping() : module_(Module::parse(chain(60))) {
    options_.arrays = {{ScalarType::f32, {-1, -1}}};
    options_.schedule = "deep";
  }
  std::string code() {
    Result<Kernel> kernel = module_->op("chain")->compile(options_);
    return kernel ? "" : kernel.errors().front().code;
  }
  Result<Module> module_;
  CompileOptions options_;
};

TEST_F(Stopping, ATimeLimit) {
  options_.time_limit_s = 0.01;
  EXPECT_EQ(code(), "HD0556");
  options_.time_limit_s = 1000;
  options_.schedule = "";
  EXPECT_EQ(code(), "");
}

TEST_F(Stopping, WhoeverAsksForTheEnd) {
  std::atomic<int> asked = 0;
  const std::thread::id here = std::this_thread::get_id();
  options_.stop = [&] {
    EXPECT_EQ(std::this_thread::get_id(), here);
    return ++asked == 5;
  };
  EXPECT_EQ(code(), "HD0555");
  EXPECT_EQ(asked, 5);
}

TEST_F(Stopping, StatesAndTheInterpreter) {
  options_.stop = [] { return true; };
  Result<Op::States> states = module_->op("chain")->states(options_);
  ASSERT_FALSE(states);
  EXPECT_EQ(states.errors().front().code, "HD0555");
  std::vector<float> x(300 * 300, 1), y(300 * 300);
  options_.arrays = {{ScalarType::f32, {300, 300}}};
  options_.schedule = "";
  Result<Done> done =
      module_->op("chain")->interpret(options_, {Buffer::of(x.data(), {300, 300}), Buffer::of(y.data(), {300, 300})});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.errors().front().code, "HD0555");
}

}  // namespace
}  // namespace heddle
