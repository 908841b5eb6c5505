// The random orders have teeth: when one kind of dependence is not waited for, some order gives another answer or reads what is not
// written yet. With all of them, all orders give the same bytes.
#include <gtest/gtest.h>

#include <cstring>

#include "backend/neuron/simulator/execute.h"
#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/specialise.h"

namespace heddle::neuron::sim {
namespace {

// Vector and Scalar take turns on two tiles: each kind of dependence joins them.
constexpr const char* kernel_text = R"(
import nki
import nki.language as nl
import nki.isa as nisa

@nki.jit
def turns(x):
    y = nl.ndarray((64, 48), dtype=nl.float32, buffer=nl.shared_hbm)
    t = nl.ndarray((64, 48), dtype=nl.float32, buffer=nl.sbuf)
    u = nl.ndarray((64, 48), dtype=nl.float32, buffer=nl.sbuf)
    w = nl.ndarray((64, 48), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=t, src=x)
    for i in range(4):
        nisa.tensor_copy(dst=u, src=t)
        nisa.activation(dst=u[:, 0:32], op=nl.copy, data=t[:, 0:32], scale=2.0)
        nisa.tensor_tensor(dst=t, data1=t, data2=u, op=nl.add)
        nisa.activation(dst=w, op=nl.copy, data=u)
        nisa.memset(dst=u, value=0.0)
    nisa.tensor_tensor(dst=t, data1=t, data2=w, op=nl.add)
    nisa.dma_copy(dst=y, src=t)
    return y
)";

std::vector<unsigned char> numbers(int64_t count, int step) {
  std::vector<unsigned char> bytes(4 * count);
  for (int64_t i = 0; i < count; ++i) {
    float value = static_cast<float>(i * step % 97) / 64 - 0.7f;
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

// The output, or "refused".
std::string run(uint64_t seed, std::optional<DependenceKind> forget) {
  Text text = parse_text(Source::make("turns.py", kernel_text));
  const Machine machine = *machine_named("trn2");
  Trace trace = specialise(text, "", {ArrayType{Dtype::f32, {64, 48}}}, {}, machine, {});
  MemoryPlan plan = plan_memory(trace, machine);
  std::vector<std::unique_ptr<Store>> stores(trace.tensors.size());
  stores[0] = std::make_unique<Store>();
  stores[0]->bytes = numbers(64 * 48, 5);
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
  EXPECT_EQ(want.size(), 4u * 64 * 48);
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
