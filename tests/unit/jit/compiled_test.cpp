// Compiled code against the interpreter, bit for bit.
#include <gtest/gtest.h>

#include "run.h"

namespace heddle::jit::testing {
namespace {

TEST(Compiled, scaled_copy_with_masked_tail) {
  const ir::Program p = program_of(R"(
program scale(in x: f32[rows, cols] in dram, out y: f32[rows, cols] in dram) facts (rows >= 0, cols >= 0) {
  stage y(map r in 0 .. rows, map c in 0 .. cols)
  for y.r in 0 .. rows parallel {
    for y.co in 0 .. ceildiv(cols, 16) {
      for y.cv in 0 .. 16 vector {
        at y(r = r, c = 16*co + cv) where 16*co + cv < cols { y[r, c] = x[r, c] * 2.5 + 1.0 }
      }
    }
  }
}
)");
  for (int64_t cols : {0, 1, 15, 16, 17, 100}) expect_same(p, {{"rows", 5}, {"cols", cols}});
}

}  // namespace
}  // namespace heddle::jit::testing
