// Memory is handed out in rotation, and what a fresh tile takes over is waited for; costs are those of the documented table.
#include <gtest/gtest.h>

#include "backend/neuron/simulator/plan.h"
#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/specialise.h"
#include "backend/neuron/simulator/time.h"

namespace heddle::neuron::sim {
namespace {

Trace trace_of(const std::string& body) {
  std::string text =
      "import nki\nimport nki.language as nl\nimport nki.isa as nisa\n\n@nki.jit\ndef k(x):\n"
      "    y = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.shared_hbm)\n" +
      body + "    return y\n";
  return specialise(parse_text(Source::make("k.py", text)), "", {ArrayType{Dtype::f32, {128, 512}}}, {},
                    *machine_named("trn2"), {});
}

TEST(Plan, BanksGoAroundBeforeOneIsTakenAgain) {
  Trace t = trace_of(
      "    for i in range(10):\n"
      "        p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)\n"
      "        nisa.memset(dst=p, value=0.0)\n"
      "        s = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)\n"
      "        nisa.tensor_copy(dst=s, src=p)\n"
      "        nisa.dma_copy(dst=y, src=s)\n");
  MemoryPlan plan = plan_memory(t, *machine_named("trn2"));
  std::vector<int64_t> banks;
  std::vector<uint32_t> psum;
  for (uint32_t i = 0; i < t.tensors.size(); ++i)
    if (t.tensors[i].memory == Memory::psum) banks.push_back(t.tensors[i].address / psum_bank_bytes), psum.push_back(i);
  EXPECT_EQ(banks, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 0, 1}));
  EXPECT_EQ(plan.psum_peak, 1);
  EXPECT_TRUE(plan.follows[psum[7]].empty());
  EXPECT_EQ(plan.follows[psum[8]], std::vector<uint32_t>{psum[0]});
  // The ninth tile's first write waits for the last use of the first.
  Dependences d(t, plan, Grain::elements);
  const int32_t write = t.tensors[psum[8]].first_use, last = t.tensors[psum[0]].last_use;
  bool waits = false;
  for (const Dependence* e = d.begin(write); e != d.end(write); ++e) waits |= static_cast<int32_t>(e->on) == last;
  EXPECT_TRUE(waits);
}

TEST(Plan, ElementsThatDoNotMeetDoNotWait) {
  Trace t = trace_of(
      "    s = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)\n"
      "    nisa.dma_copy(dst=s[:, 0:256], src=x[:, 0:256])\n"
      "    nisa.dma_copy(dst=s[:, 256:512], src=x[:, 256:512])\n"
      "    nisa.dma_copy(dst=y[:, 0:256], src=s[:, 0:256])\n"
      "    nisa.dma_copy(dst=y[:, 256:512], src=s[:, 256:512])\n");
  MemoryPlan plan = plan_memory(t, *machine_named("trn2"));
  auto waits = [&](Grain grain) {
    Dependences d(t, plan, grain);
    std::vector<std::vector<uint32_t>> out(4);
    for (uint32_t i = 0; i < 4; ++i)
      for (const Dependence* e = d.begin(i); e != d.end(i); ++e) out[i].push_back(e->on);
    return out;
  };
  EXPECT_EQ(waits(Grain::elements), (std::vector<std::vector<uint32_t>>{{}, {}, {0}, {1}}));
  EXPECT_EQ(waits(Grain::tile), (std::vector<std::vector<uint32_t>>{{}, {0}, {1}, {1}}));
}

TEST(Cost, FollowsTheDocumentedTable) {
  Trace t = trace_of(
      "    a = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf)\n"
      "    b = nl.ndarray((128, 512), dtype=nl.bfloat16, buffer=nl.sbuf)\n"
      "    p = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)\n"
      "    o = nl.ndarray((128, 1), dtype=nl.float32, buffer=nl.sbuf)\n"
      "    nisa.nc_matmul(dst=p, stationary=a[:, 0:128], moving=a)\n"
      "    nisa.nc_matmul(dst=p, stationary=b[:, 0:128], moving=b)\n"
      "    nisa.nc_matmul(dst=p[:, 0:16], stationary=b[:, 0:128], moving=b[:, 0:16])\n"
      "    nisa.tensor_tensor(dst=a, data1=a, data2=a, op=nl.add)\n"
      "    nisa.tensor_tensor(dst=a, data1=p, data2=a, op=nl.add)\n"
      "    nisa.tensor_tensor(dst=b, data1=b, data2=b, op=nl.add)\n"
      "    nisa.tensor_scalar(dst=a[:, 0:3], data=a[:, 0:3], op0=nl.add, operand0=1.0)\n"
      "    nisa.tensor_reduce(dst=o, op=nl.add, data=b, axis=1)\n"
      "    nisa.reciprocal(dst=a, data=a)\n"
      "    nisa.activation_reduce(dst=a, op=nl.exp, data=a, reduce_op=nl.add, reduce_res=o)\n"
      "    nisa.iota(dst=a, pattern=[[1, 512]])\n");
  std::vector<double> cycles;
  for (const Instruction& i : t.instructions) cycles.push_back(instruction_cycles(t, i));
  EXPECT_EQ(cycles, (std::vector<double>{2048, 512, 64, 1024, 512, 512, 64, 256, 4096, 576, 662}));
}

}  // namespace
}  // namespace heddle::neuron::sim
