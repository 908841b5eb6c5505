// An application that embeds Heddle: parse a text, compile an op for its types, call it on buffers of its own.
#include <cmath>
#include <cstdio>
#include <vector>

#include "heddle/heddle.h"

namespace {

const char* const text = R"(
/// Rows that sum to one.
op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r]  = max[c] x[r, c]
  e[r, c]  = exp(x[r, c] - peak[r])
  total[r] = sum[c] e[r, c]
  y[r, c]  = e[r, c] / total[r]
}

schedule softmax.rows on cpu {
  compute_at total, e, peak at y.r
  vectorize y.c, e.c by lanes(f32)
  parallel y.r
}
)";

int fail(const heddle::Diagnostics& diagnostics) {
  std::fputs(heddle::render(diagnostics).c_str(), stderr);
  return 1;
}

}  // namespace

int main() {
  auto module = heddle::Module::parse(text, "softmax.hd");
  if (!module) return fail(module.errors());
  auto op = module->op("softmax");
  if (!op) return fail(op.errors());

  // Dims are symbolic: one kernel serves every number of rows and columns.
  auto kernel = op->compile({.arrays = {heddle::Spec{heddle::ScalarType::f32, {-1, -1}}}});
  if (!kernel) return fail(kernel.errors());

  for (int64_t cols : {5, 1000}) {
    const int64_t rows = 3;
    std::vector<float> x(rows * cols), y(rows * cols);
    for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
    auto done = (*kernel)({heddle::Buffer::of(x.data(), {rows, cols}), heddle::Buffer::of(y.data(), {rows, cols})});
    if (!done) return fail(done.errors());
    double worst = 0;
    for (int64_t r = 0; r < rows; ++r) {
      double total = 0;
      for (int64_t c = 0; c < cols; ++c) total += y[r * cols + c];
      worst = std::fmax(worst, std::fabs(total - 1));
    }
    std::printf("%s: %lld x %lld, each row sums to 1 within %.1e\n", kernel->target().c_str(),
                static_cast<long long>(rows), static_cast<long long>(cols), worst);
    if (worst > 1e-5) return 1;
  }

  // A wrong text is a value too: a code, a place, what to do.
  auto wrong = heddle::Module::parse("op f(x: f32[n]) -> y: f32[n] { y[i] = x[i + 1] }", "wrong.hd");
  if (wrong) return 1;
  std::printf("%s", heddle::render(wrong.errors()).c_str());
  return 0;
}
