// The random orders have teeth: when one kind of dependence is not waited for, some order gives another answer or reads what is not
// written yet. With all of them, all orders give the same bytes.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "backend/neuron/simulator/execute.h"
#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/specialise.h"

namespace heddle::neuron::sim {
namespace {

std::string kernel_text(const std::string& name) {
  std::ifstream file(std::string(HEDDLE_SOURCE_DIR) + "/tests/nki/" + name + ".py");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<unsigned char> numbers(int64_t count, int step) {
  std::vector<unsigned char> bytes(4 * count);
  for (int64_t i = 0; i < count; ++i) {
    float value = static_cast<float>(i * step % 97) / 64 - 0.7f;
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

// The output of attention over 160 rows of 48, or "refused".
std::string run(uint64_t seed, std::optional<DependenceKind> forget) {
  Text text = parse_text(Source::make("attention.py", kernel_text("attention")));
  const Machine machine = *machine_named("trn2");
  std::vector<Argument> arguments = {ArrayType{Dtype::f32, {48, 160}}, ArrayType{Dtype::f32, {48, 160}},
                                     ArrayType{Dtype::f32, {160, 48}}, 0.125};
  Trace trace = specialise(text, "", arguments, {}, machine, {});
  MemoryPlan plan = plan_memory(trace, machine);
  std::vector<std::unique_ptr<Store>> stores(trace.tensors.size());
  for (int i = 0; i < 3; ++i) {
    stores[i] = std::make_unique<Store>();
    stores[i]->bytes = numbers(48 * 160, 5 + 2 * i);
  }
  try {
    execute(trace, plan, machine, {.seed = seed, .forget = forget}, stores);
  } catch (const Refused&) {
    return "refused";
  }
  const std::vector<unsigned char>& out = stores[trace.outputs.at(0)]->bytes;
  return std::string(out.begin(), out.end());
}

TEST(Orders, AllLegalOnesGiveTheSameBytes) {
  const std::string want = run(1, {});
  EXPECT_EQ(want.size(), 4u * 48 * 160);
  for (uint64_t seed = 2; seed < 12; ++seed) EXPECT_EQ(run(seed, {}), want);
}

class Forgotten : public testing::TestWithParam<DependenceKind> {};

TEST_P(Forgotten, IsNoticed) {
  const std::string want = run(1, {});
  int noticed = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) noticed += run(seed, GetParam()) != want;
  EXPECT_GT(noticed, 0);
}

INSTANTIATE_TEST_SUITE_P(, Forgotten,
                         testing::Values(DependenceKind::read_after_write, DependenceKind::write_after_read,
                                         DependenceKind::write_after_write));

}  // namespace
}  // namespace heddle::neuron::sim
