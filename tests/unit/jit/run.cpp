#include "run.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "backend/host/target.h"
#include "frontend/module.h"
#include "frontend/parse.h"
#include "frontend/program_text.h"
#include "ir/float_format.h"
#include "ir/op.h"
#include "ir/print.h"
#include "schedule/schedule.h"

namespace heddle::jit::testing {

namespace {

int64_t evaluate(const ir::Program& p, const ir::Expr& e, const Dims& dims) {
  if (const int64_t* c = ir::constant_value(e)) return *c;
  if (const auto* v = e.as<ir::Var>()) {
    for (const ir::DimDefinition& d : p.dims)
      if (d.dim == v->symbol && d.value.known()) return evaluate(p, d.value, dims);
    auto at = dims.find(p.symbol(v->symbol).name);
    EXPECT_TRUE(at != dims.end()) << p.symbol(v->symbol).name;
    return at == dims.end() ? 1 : at->second;
  }
  const auto* b = e.as<ir::Binary>();
  const ir::Expr folded = ir::binary(b->op, ir::index_constant(evaluate(p, b->left, dims)),
                                     ir::index_constant(evaluate(p, b->right, dims)));
  return *ir::constant_value(folded);
}

// Threads of a region, one after another.
int64_t serial_for(host::Context* context, host::ParallelBody body, void* closure, int64_t n) {
  const int64_t t = context->threads;
  ++*static_cast<int*>(context->pool);
  for (int64_t i = 0; i < t; ++i)
    if (int64_t status = body(context, closure, i, n * i / t, n * (i + 1) / t)) return status;
  return 0;
}

uint64_t bits_at(const Array& a, int64_t i) {
  uint64_t bits = 0;
  const int bytes = ir::scalar_bytes(a.type);
  std::memcpy(&bits, a.bytes.data() + i * bytes, static_cast<size_t>(bytes));
  return bits;
}

// A text may import files of the standard library.
Result<frontend::Module> module_of(const std::string& text) {
  Result<frontend::ast::Module> tree = frontend::parse(Source::make("<module>", text));
  if (!tree) return tree.errors();
  auto library = [](const std::string& path, const Place&) -> Result<std::shared_ptr<const frontend::Module>> {
    std::ifstream file(std::string(HEDDLE_SOURCE_DIR) + "/stdlib/" + path.substr(path.find('/') + 1) + ".hd");
    std::stringstream content;
    content << file.rdbuf();
    Result<frontend::Module> module = module_of(content.str());
    if (!module) return module.errors();
    return std::make_shared<const frontend::Module>(*std::move(module));
  };
  return frontend::check_module(*std::move(tree), nullptr, library);
}

}  // namespace

ir::Program program_of(const std::string& text) {
  Result<ir::Program> p = frontend::read_program(Source::make("<program>", text));
  EXPECT_TRUE(p.ok()) << (p.ok() ? "" : render(p.errors()));
  return p.ok() ? *p : ir::Program{};
}

ir::Program program_of_op(const std::string& text, const std::string& op, ir::ScalarType type,
                          const std::string& schedule, const ir::Target& target,
                          const std::map<std::string, int64_t>& tune) {
  Result<frontend::Module> module = module_of(text);
  EXPECT_TRUE(module.ok()) << (module.ok() ? "" : render(module.errors()));
  if (!module.ok()) return {};
  frontend::Instance instance;
  instance.types["T"] = type;
  for (const auto& [pack, rank] : std::map<std::string, int>{{"r", 1}}) instance.packs[pack] = rank;
  Result<ir::Op> checked = frontend::instantiate(*module, op, instance);
  EXPECT_TRUE(checked.ok()) << (checked.ok() ? "" : render(checked.errors()));
  if (!checked.ok()) return {};
  ir::Program program = ir::canonical(*checked);
  if (schedule.empty()) return program;
  for (const ir::ScheduleText* s : module->schedules_of(op)) {
    if (s->name != schedule) continue;
    Result<schedule::Scheduled> done = schedule::apply_schedule(program, *s, tune, target, module->steps);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : render(done.errors()));
    if (done.ok()) return done->program;
  }
  ADD_FAILURE() << "no schedule " << schedule;
  return program;
}

int64_t Array::count() const { return static_cast<int64_t>(bytes.size()) / ir::scalar_bytes(type); }
double Array::at(int64_t i) const {
  const uint64_t bits = bits_at(*this, i);
  if (ir::is_float(type)) return ir::decode_float(type, bits);
  const int spare = 64 - 8 * ir::scalar_bytes(type);
  return ir::is_signed(type) ? static_cast<double>(static_cast<int64_t>(bits << spare) >> spare)
                             : static_cast<double>(bits);
}

std::vector<Array> arguments(const ir::Program& p, const Dims& dims, uint64_t seed, bool strided, Data data) {
  std::mt19937_64 random(seed);
  std::vector<Array> out;
  for (const ir::Parameter& q : p.parameters) {
    if (!q.buffer.known()) continue;
    const ir::Buffer& buffer = p.buffer(q.buffer);
    Array a;
    a.type = buffer.type;
    size_t dim = 0;
    for (size_t axis = 0; dim < buffer.box.size(); ++axis) {
      int64_t extent = 1;
      const int parts = buffer.groups.empty() ? 1 : buffer.groups[axis];
      for (int i = 0; i < parts; ++i, ++dim) extent *= evaluate(p, buffer.box[dim].hi - buffer.box[dim].lo, dims);
      a.extents.push_back(extent);
    }
    int64_t count = strided ? 2 : 1;
    a.strides.resize(a.extents.size());
    for (size_t i = a.extents.size(); i-- > 0;) {
      a.strides[i] = count;
      count *= a.extents[i] + (strided ? 1 : 0);
    }
    const int bytes = ir::scalar_bytes(a.type);
    a.bytes.resize(static_cast<size_t>(count * bytes));
    for (int64_t i = 0; i < count; ++i) {
      uint64_t bits = random();
      if (a.type == ir::ScalarType::boolean) bits &= 1;
      else if (data == Data::wild) bits = random();
      else if (ir::is_float(a.type)) bits = ir::encode_float(a.type, static_cast<double>(bits % 4097) / 1024 - 2);
      else bits = bits % 7 - (ir::is_signed(a.type) ? 3 : 0);
      std::memcpy(a.bytes.data() + i * bytes, &bits, static_cast<size_t>(bytes));
    }
    out.push_back(std::move(a));
  }
  return out;
}

Built::Built(const ir::Program& p, const ir::Target& target, bool strided) : program_(p) {
  std::vector<host::ArgTraits> traits(p.parameters.size());
  for (host::ArgTraits& t : traits) t.unit_inner_stride = !strided;
  Result<host::Compiled> compiled = host::compile(p, target, traits);
  EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : render(compiled.errors()));
  if (!compiled.ok()) return;
  compiled_ = std::move(*compiled);
  Result<std::shared_ptr<LoadedKernel>> loaded = engine_.load(compiled_.object);
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : render(loaded.errors()));
  if (loaded.ok()) kernel_ = *loaded;
}

Outcome Built::run(const Dims& dims, std::vector<Array>& arrays, const std::vector<ir::ScalarValue>& scalars,
                   int threads, int64_t shared_from) const {
  Outcome out;
  out.status = -1;
  if (!kernel_) return out;
  const host::ArgLayout& layout = compiled_.layout;
  std::vector<uint64_t> words(static_cast<size_t>(layout.words) + 1);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const auto& at = layout.arrays[i];
    words[at.word] = reinterpret_cast<uint64_t>(arrays[i].bytes.data());
    for (int k = 0; k < at.rank; ++k) words[at.word + 1 + k] = static_cast<uint64_t>(arrays[i].strides[k]);
  }
  for (const auto& [dim, word] : layout.dims)
    words[word] = static_cast<uint64_t>(evaluate(program_, ir::var(dim), dims));
  size_t next = 0;
  for (const auto& [scalar, word] : layout.scalars) {
    const ir::ScalarType type = program_.symbol(scalar).type;
    const ir::ScalarValue v = scalars[next++];
    words[word] = ir::is_float(type) ? ir::encode_float(type, v.real) : static_cast<uint64_t>(v.integer);
  }
  const int64_t each = (kernel_->arena()(words.data()) + 63) / 64 * 64;
  std::vector<unsigned char> memory(static_cast<size_t>(each * threads) + 128, 0xA5);
  host::Context context{};
  context.parallel_for = serial_for;
  context.arena = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
  context.arena_stride = each;
  context.threads = threads;
  context.shared_from = shared_from;
  context.pool = &out.shared;
  out.status = kernel_->kernel()(&context, words.data());
  out.report = context.report;
  for (const unsigned char* at = context.arena + each * threads; at < memory.data() + memory.size(); ++at)
    EXPECT_EQ(*at, 0xA5);
  return out;
}

namespace {

void expect_same_on(const ir::Program& p, const ir::Target& target, const Built& built, bool strided, const Dims& dims,
                    const std::vector<ir::ScalarValue>& scalars, Data data) {
  std::vector<Array> expected = arguments(p, dims, 1, strided, data), seen = expected;
  ir::Arguments args;
  for (Array& a : expected) args.arrays.push_back({a.type, a.extents, a.strides, a.bytes.data()});
  args.scalars = scalars;
  ir::InterpretOptions options;
  options.has_fma = target.has_fma;
  Result<ir::InterpretResult> ran = ir::interpret(p, args, options);
  ASSERT_TRUE(ran.ok()) << render(ran.errors());
  const Outcome outcome = built.run(dims, seen, scalars);
  ASSERT_EQ(outcome.status, 0) << target.name;
  for (size_t k = 0; k < expected.size(); ++k) {
    int shown = 0;
    for (int64_t i = 0; i < expected[k].count() && shown < 5; ++i) {
      const bool nan =
          ir::is_float(expected[k].type) && expected[k].at(i) != expected[k].at(i) && seen[k].at(i) != seen[k].at(i);
      if (nan || bits_at(expected[k], i) == bits_at(seen[k], i)) continue;
      ADD_FAILURE() << target.name << (strided ? " strided" : "") << " array " << k << " element " << i
                    << ": interpreted " << expected[k].at(i) << ", compiled " << seen[k].at(i);
      ++shown;
    }
  }
}

}  // namespace

void expect_same(const ir::Program& p, const Cases& cases) {
  for (const char* name : {"cpu/x86-64-v2", "cpu/avx2", "cpu/avx512"}) {
    Result<ir::Target> target = host::target_named(name);
    if (!target) continue;
    for (bool strided : {false, true}) {
      if (strided && !cases.strided) continue;
      const Built built(p, *target, strided);
      if (!built.ok()) return;
      for (const Dims& dims : cases.dims)
        for (Data data : cases.data) expect_same_on(p, *target, built, strided, dims, cases.scalars, data);
    }
  }
}

}  // namespace heddle::jit::testing
