// Values with bounds on their rounding: whatever is computed lies within them.
#include <gtest/gtest.h>

#include "tests/unit/ir/interpreted_programs.h"

namespace heddle::test {
namespace {

TEST(Interpret, BoundsHoldAndAreTight) {
  Array<float> x = random_array({4, 33}, 2), y({4, 33}), z({4, 33});
  ASSERT_TRUE(interpret(softmax(), arguments(x, y)).ok());
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(softmax(), arguments(x, z), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  ASSERT_EQ(result->bounded.size(), 1u);
  const BoundedArray& b = result->bounded[0];
  const std::vector<double> expected = softmax_of(x);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(std::fabs(y.data[i] - b.value[i]), b.bound[i]);
    EXPECT_NEAR(b.value[i], expected[i], 1e-12);
    EXPECT_LT(b.bound[i], 1e-5 * expected[i] + 1e-12);
  }
}

TEST(Interpret, BoundedModeFollowsBothArmsOfAnUndecidedIf) {
  // x - (x + tiny) is about 0, with a bound around it: the comparison with 0 is open, and both arms count.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr zero = real_constant(f32, 0), tenth = real_constant(f32, static_cast<float>(0.1));
    const Expr a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), real_constant(f32, 5), zero);
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], 5);
}

TEST(Interpret, TheOtherArmMayBeNaN) {
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr tenth = real_constant(f32, static_cast<float>(0.1)), a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), real_constant(f32, 5), real_constant(f32, NAN));
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL);
}

TEST(Interpret, TheOtherArmMayNotBeReachable) {
  // The arm that is not taken reads outside: nothing can be claimed, and nothing fails.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr tenth = real_constant(f32, static_cast<float>(0.1)), a = (b.read(x, {i}) + tenth) - tenth;
    return select(binary(BinaryOp::lt, b.read(x, {i}), a), b.read(x, {i + 1}),
                  b.read(x, {i}));  // in f64 both are equal
  };
  Array<float> x({1}, {static_cast<float>(0.7)}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(y.data[0], x.data[0]);
  EXPECT_TRUE(std::isinf(result->bounded[0].bound[0]));
}

TEST(Interpret, ZeroTimesWhatMayBeInfinite) {
  // f16(i32(3 * (x / 3))) is infinite or just below: 0 times that is 0 or NaN.
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr three = real_constant(f32, 3), third = binary(BinaryOp::div, b.read(x, {i}), three);
    const Expr whole = convert(ScalarType::i32, convert(ScalarType::f16, binary(BinaryOp::mul, third, three)));
    return convert(f32, binary(BinaryOp::mul, convert(ScalarType::f16, whole), real_constant(ScalarType::f16, 0)));
  };
  Array<float> x({1}, {65519.9f}), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL);
}

TEST(Interpret, SaturatedFromWhatNothingIsClaimedOf) {
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const Expr large =
        binary(BinaryOp::mul, convert(ScalarType::f16, b.read(x, {i})), real_constant(ScalarType::f16, 2));
    return convert(f32, convert(ScalarType::f8e5m2, large, ConvertMode::saturate));
  };
  for (float from : {32768.0f, 32767.0f}) {
    Array<float> x({1}, {from}), y({1});
    InterpretOptions options;
    options.mode = InterpretMode::bounded;
    auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_FALSE(std::isnan(result->bounded[0].bound[0]));
  }
}

TEST(Interpret, FunctionsOfWhatMayBeInfinite) {
  // 2 * 32768 is past the greatest f16, but so near that another rounding may stay below: the sine may be NaN, and tanh of it less 1 too.
  for (const char* function : {"sin", "cos", "tanh", "erf", "sigmoid"}) {
    const auto value = [&](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
      const Expr half = convert(ScalarType::f16, b.read(x, {i}));
      const Expr large = binary(BinaryOp::mul, half, real_constant(ScalarType::f16, 2));
      return convert(f32, call(function, binary(BinaryOp::sub, large, large)));
    };
    Array<float> x({1}, {32768}), y({1});
    InterpretOptions options;
    options.mode = InterpretMode::bounded;
    auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_EQ(result->bounded[0].bound[0], HUGE_VAL) << function;
  }
}

TEST(Interpret, DenormalsMayBeZeroWhereTheHeaderLetsThem) {
  // 1e-40 * inf is infinite, or NaN where the denormal is flushed; 1e-40 + 1e-40 is 2e-40 or 0.
  for (bool product : {true, false})
    for (bool flush : {true, false}) {
      const auto value = [&](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
        const Expr tiny = b.read(x, {i});
        return product ? binary(BinaryOp::mul, tiny, real_constant(f32, HUGE_VAL)) : tiny + tiny;
      };
      Array<float> x({1}, {1e-40f}), y({1});
      Program program = one_loop(LoopKind::serial, same_place, value);
      program.allow.flush_denormals = flush;
      InterpretOptions options;
      options.mode = InterpretMode::bounded;
      auto result = interpret(program, arguments(x, y), options);
      ASSERT_TRUE(result.ok()) << message_of(result);
      const double bound = result->bounded[0].bound[0];
      if (!flush) EXPECT_EQ(bound, 0);
      else if (product) EXPECT_EQ(bound, HUGE_VAL);
      else EXPECT_TRUE(bound >= 2e-40 && bound < 1e-36) << bound;
    }
}

TEST(Interpret, TypesWithoutInfinityHaveNaN) {
  const auto value = [](ProgramBuilder& b, BufferId x, BufferId, Expr i) {
    const ScalarType f8 = ScalarType::f8e4m3fn;
    return convert(f32, binary(BinaryOp::div, convert(f8, b.read(x, {i})), real_constant(f8, 0)));
  };
  Array<float> x({1}, {0.5f}), y({1});
  for (InterpretMode mode : {InterpretMode::typed, InterpretMode::bounded}) {
    InterpretOptions options;
    options.mode = mode;
    auto result = interpret(one_loop(LoopKind::serial, same_place, value), arguments(x, y), options);
    ASSERT_TRUE(result.ok()) << message_of(result);
    EXPECT_TRUE(std::isnan(mode == InterpretMode::typed ? y.data[0] : result->bounded[0].value[0]));
  }
}

TEST(Interpret, SumBoundHoldsForAnyOrder) {
  Array<float> x = random_array({1, 1000}, 10), y({1});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(reduction<float>("sum"), arguments(x, y), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  double exact = 0, magnitude = 0;
  for (float v : x.data) exact += v, magnitude += std::fabs(v);
  const double value = result->bounded[0].value[0], bound = result->bounded[0].bound[0];
  EXPECT_NEAR(value, exact, 1e-9);
  EXPECT_NEAR(bound, 1000 * 0x1p-23 * magnitude, 1e-6 * bound);
  std::mt19937 random(3);
  for (int trial = 0; trial < 100; ++trial) {
    std::shuffle(x.data.begin(), x.data.end(), random);
    ASSERT_TRUE(interpret(reduction<float>("sum"), arguments(x, y)).ok());
    EXPECT_LE(std::fabs(y.data[0] - value), bound);
  }
}

TEST(Interpret, BoundedIntegersFromFloats) {
  ProgramBuilder b("quantise");
  const Expr size = b.dim("n");
  const BufferId x = b.in("x", f32, {size}), y = b.out("y", ScalarType::i8, {size});
  const Expr i = b.axis("i"), li = b.loop("i");
  const Expr scaled = b.read(x, {i}) * real_constant(f32, 1.0f / 3);
  const Expr value = convert(ScalarType::i8, call("round_even", scaled), ConvertMode::saturate);
  b.program.body = {
      loop_over(li, n(0), size, {leaf(b.stage("y", {map_axis(i, n(0), size)}), {li}, {define(y, {i}, value)})})};
  Array<float> xa({3}, {10, 4.5, 1e6f});
  Array<int8_t> ya({3});
  InterpretOptions options;
  options.mode = InterpretMode::bounded;
  auto result = interpret(b.program, arguments(xa, ya), options);
  ASSERT_TRUE(result.ok()) << message_of(result);
  EXPECT_EQ(ya.data[0], 3);
  EXPECT_EQ(result->bounded[0].bound[0], 0);  // rounding cannot change it
  EXPECT_EQ(result->bounded[0].bound[1], 1);  // about 1.5: 1 or 2
  EXPECT_EQ(ya.data[2], 127);
  EXPECT_EQ(result->bounded[0].bound[2], 0);
}

}  // namespace
}  // namespace heddle::test
