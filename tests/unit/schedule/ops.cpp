#include "ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "frontend/module.h"
#include "frontend/program_text.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "ir/visit.h"

namespace heddle::schedule::testing {

using namespace ir;

const char* const matmul = R"(
op matmul(a: f32[m, k], b: f32[k, n]) -> c: f32[m, n] {
  acc[i, j] = sum[p] a[i, p] * b[p, j]
  c[i, j] = acc[i, j]
})";

const char* const softmax = R"(
op softmax(x: f32[rows, cols]) -> y: f32[rows, cols] {
  peak[r]  = max[c] x[r, c]
  e[r, c]  = exp(x[r, c] - peak[r])
  total[r] = sum[c] e[r, c]
  y[r, c]  = e[r, c] / total[r]
})";

const char* const conv = R"(
op conv(x: f32[fi, w], k: f32[fo, fi, kw]) -> y: f32[fo, w] {
  acc[o, i in 0 .. w] = sum[q, u] (x[q, i + u - 1] or 0) * k[o, q, u]
  y[o, i] = acc[o, i]
})";

const char* const stencil = R"(
op stencil(x: f32[n]) -> y: f32[n] {
  s[i] = x[i] * x[i]
  t[i in 0 .. n] = (s[i - 1] or 0) + (s[i + 1] or 0)
  y[i] = t[i] - s[i]
})";

const char* const cumsum = R"(
op cumsum(x: f32[rows, cols]) -> y: f32[rows, cols] {
  y[r, i] = sum[j in 0 .. i + 1] x[r, j]
})";

const char* const ragged = R"(
op ragged(x: f32[rows, cols], len: i64[rows]) -> y: f32[rows] {
  s[r] = sum[c where c < len[r]] x[r, c]
  y[r] = s[r] * 2
})";

bool has_text(const std::string& all, const std::string& part) { return all.find(part) != std::string::npos; }

Target wide_target() {
  Target t;
  t.name = "cpu/avx512";
  t.vector_bytes = 64;
  t.has_masks = true;
  t.has_fma = true;
  return t;
}

namespace {

frontend::Module module_of(const std::string& text, const frontend::Module* base = nullptr) {
  Result<frontend::Module> m = frontend::read_module(Source::make("<test>", text), base);
  if (m) return *std::move(m);
  ADD_FAILURE() << render(m.errors());
  return {};
}

struct Prepared {
  frontend::Module module;
  Program canonical;
  const ScheduleText* schedule = nullptr;
};

Prepared prepare(const std::string& op, const std::string& steps, bool reassociate) {
  Prepared out;
  frontend::Module base = module_of(op);
  std::string name = base.ops.front()->name();
  out.module = module_of(
      "schedule " + name + ".test on cpu" + (reassociate ? " allow reassociate" : "") + " {\n" + steps + "\n}", &base);
  Result<Op> checked = frontend::instantiate(out.module, name, {});
  if (!checked) {
    ADD_FAILURE() << render(checked.errors());
    return out;
  }
  out.canonical = canonical(*checked);
  out.schedule = out.module.schedule(name, "test");
  return out;
}

struct Run {
  Result<InterpretResult> result = InterpretResult{};
  std::vector<std::vector<float>> outputs;
};

Run run(const Program& program, const Dims& dims, uint64_t seed) {
  std::mt19937 random(12345);
  std::uniform_real_distribution<float> value(-2.0f, 2.0f);
  Substitution given;
  for (size_t i = 0; i < program.symbols.size(); ++i)
    if (auto d = dims.find(program.symbols[i].name); d != dims.end() && program.symbols[i].kind == SymbolKind::dim)
      given.emplace_back(SymbolId{static_cast<uint32_t>(i)}, index_constant(d->second));
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int64_t>> integers;
  Arguments args;
  std::vector<size_t> outputs;
  for (const Parameter& q : program.parameters) {
    const Buffer& b = program.buffer(q.buffer);
    ArrayRef a;
    a.type = b.type;
    int64_t size = 1, stride = 1;
    size_t next = 0;
    for (size_t axis = 0; axis < (b.groups.empty() ? b.box.size() : b.groups.size()); ++axis) {
      int64_t extent = 1;
      for (int part = b.groups.empty() ? 1 : b.groups[axis]; part-- > 0; ++next)
        extent *= *constant_value(substitute(b.box[next].hi, given));
      a.extents.push_back(extent);
    }
    a.strides.resize(a.extents.size());
    for (size_t d = a.extents.size(); d-- > 0;) {
      a.strides[d] = stride;
      stride *= a.extents[d];
    }
    for (int64_t e : a.extents) size *= e;
    floats.emplace_back(size, -777.0f);
    integers.emplace_back(size, 0);
    if (b.role == Role::in) {
      for (float& f : floats.back()) f = value(random);
      for (int64_t& i : integers.back()) i = static_cast<int64_t>(random() % 9);
    } else {
      outputs.push_back(floats.size() - 1);
    }
    args.arrays.push_back(std::move(a));
  }
  for (size_t i = 0; i < args.arrays.size(); ++i) {
    bool real = args.arrays[i].type == ScalarType::f32;
    args.arrays[i].data = real ? static_cast<void*>(floats[i].data()) : integers[i].data();
  }
  InterpretOptions options;
  options.seed = seed;
  Run out;
  out.result = interpret(program, args, options);
  for (size_t i : outputs) out.outputs.push_back(floats[i]);
  return out;
}

void expect_same(const Run& a, const Run& b, bool exact, const std::string& what) {
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    ASSERT_EQ(a.outputs[i].size(), b.outputs[i].size());
    for (size_t j = 0; j < a.outputs[i].size(); ++j) {
      float x = a.outputs[i][j], y = b.outputs[i][j];
      bool both_nan = std::isnan(x) && std::isnan(y);
      float tolerance = exact ? 0 : 1e-5f * (1 + std::fabs(x));
      ASSERT_TRUE(both_nan || x == y || std::fabs(x - y) <= tolerance)
          << what << ": output " << i << " at " << j << ": " << x << ", then " << y;
    }
  }
}

void expect_reads_back(const Program& program, const std::string& what) {
  std::string text = print(program);
  Result<Program> again = frontend::read_program(Source::make("<printed>", text));
  if (!again) ADD_FAILURE() << what << "\n" << render(again.errors()) << text;
  else EXPECT_TRUE(equal_up_to_names(program, *again)) << what << "\n" << text << print(*again);
}

// One state on one choice of dims; false once the test has failed.
bool check_state(const State& state, const Dims& dims, const Run& expected, bool exact) {
  std::string what(state.call.place.text());
  for (const auto& [name, value] : dims) what += ", " + name + " = " + std::to_string(value);
  Run actual = run(state.program, dims, 7);
  if (!actual.result) ADD_FAILURE() << what << "\n" << render(actual.result.errors());
  else expect_same(expected, actual, exact, what);
  if (!::testing::Test::HasFailure()) return true;
  ADD_FAILURE() << print(state.program);
  return false;
}

}  // namespace

Program canonical_of(const std::string& op) { return prepare(op, "", false).canonical; }

Program check_schedule(const std::string& op, const std::string& steps, const std::vector<Dims>& dims,
                       bool reassociate) {
  Prepared given = prepare(op, steps, reassociate);
  if (!given.schedule) return given.canonical;
  std::vector<State> so_far;
  Result<Scheduled> done = apply_schedule(given.canonical, *given.schedule, {}, wide_target(), {}, &so_far);
  if (!done) {
    ADD_FAILURE() << render(done.errors()) << "\nafter\n"
                  << print(so_far.empty() ? given.canonical : so_far.back().program);
    return given.canonical;
  }
  for (const State& state : done->states) {
    std::string what(state.call.place.text());
    Diagnostics broken = verify(state.program);
    EXPECT_TRUE(broken.empty()) << what << "\n" << render(broken) << print(state.program);
    expect_reads_back(state.program, what);
  }
  for (const Dims& d : dims) {
    Run expected = run(given.canonical, d, 1);
    if (!expected.result) ADD_FAILURE() << render(expected.result.errors()) << print(given.canonical);
    if (::testing::Test::HasFailure()) break;
    for (const State& state : done->states)
      if (!check_state(state, d, expected, !reassociate)) return std::move(done->program);
  }
  return std::move(done->program);
}

Diagnostics refused(const std::string& op, const std::string& steps, bool reassociate) {
  Prepared given = prepare(op, steps, reassociate);
  if (!given.schedule) return {Diagnostic{}};
  Result<Scheduled> done = apply_schedule(given.canonical, *given.schedule, {}, wide_target());
  if (!done) return done.errors();
  ADD_FAILURE() << "not refused:\n" << steps << "\n" << print(done->program);
  return {Diagnostic{}};
}

}  // namespace heddle::schedule::testing
