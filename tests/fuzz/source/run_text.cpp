#include "tests/fuzz/source/run_text.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "api/impl.h"
#include "frontend/program_text.h"
#include "ir/print.h"
#include "ir/safety.h"
#include "ir/verify.h"
#include "ir/visit.h"
#include "jit/pool.h"
#include "tests/fuzz/common/fenced.h"

namespace heddle::fuzz {
namespace {

constexpr int64_t most_leaves = 100'000;
constexpr double most_work = 3e5;        // iterations of loops, with leaves or without
constexpr int64_t most_bytes = 1 << 20;  // of one array

struct Interval {
  double lo = 0, hi = 0;
};

// Dims chosen for one program, and what follows from them.
class Sizes {
 public:
  Sizes(const ir::Program& p, Random& r) : p_(p) {
    for (const ir::DimDefinition& d : p.dims) {
      std::optional<int64_t> value =
          d.buffer.known() ? std::optional<int64_t>(r.pick({0, 1, 1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 20, 33}))
                           : eval(d.value);
      if (!value || *value < 0 || *value > 1'000'000) ok_ = false;
      dims_[d.dim.value] = value.value_or(0);
    }
  }
  bool ok() const { return ok_; }

  std::optional<int64_t> eval(const ir::Expr& e) const {
    if (!e.known()) return std::nullopt;
    if (const int64_t* c = ir::constant_value(e)) return *c;
    if (const auto* v = e.as<ir::Var>()) {
      auto at = dims_.find(v->symbol.value);
      return at == dims_.end() ? std::nullopt : std::optional<int64_t>(at->second);
    }
    const auto* b = e.as<ir::Binary>();
    if (!b) return std::nullopt;
    std::optional<int64_t> x = eval(b->left), y = eval(b->right);
    int64_t out = 0;
    if (!x || !y) return std::nullopt;
    auto floor_div = [](int64_t a, int64_t d) {
      return d == 0 ? 0 : a / d - (a % d != 0 && (a < 0) != (d < 0) ? 1 : 0);
    };
    if (std::abs(*x) > (1ll << 60) || std::abs(*y) > (1ll << 60)) return std::nullopt;
    switch (b->op) {
      case ir::BinaryOp::add: return *x + *y;
      case ir::BinaryOp::sub: return *x - *y;
      case ir::BinaryOp::mul: return __builtin_mul_overflow(*x, *y, &out) ? std::nullopt : std::optional<int64_t>(out);
      case ir::BinaryOp::div: return floor_div(*x, *y);
      case ir::BinaryOp::mod: return *y == 0 ? 0 : *x - *y * floor_div(*x, *y);
      case ir::BinaryOp::ceildiv: return *y <= 0 ? 0 : -floor_div(-*x, *y);
      case ir::BinaryOp::min: return std::min(*x, *y);
      case ir::BinaryOp::max: return std::max(*x, *y);
      default: return std::nullopt;
    }
  }

  /// About how many iterations the program has at most.
  double work() { return work(p_.body); }

 private:
  double work(const ir::Body& body) {
    double sum = 0;
    for (const ir::StmtRef& s : body) {
      double inner = 1, times = 1;
      if (const auto* l = std::get_if<ir::For>(&s->form)) {
        Interval lo = range(l->lo), hi = range(l->hi);
        times = std::max(0.0, hi.hi - lo.lo);
        loops_[l->loop.value] = {lo.lo, std::max(lo.lo, hi.hi)};
      }
      auto cells = [&](const std::vector<ir::Window>& list) {
        for (const ir::Window& w : list) {
          double n = 1;
          for (const ir::Range& r : w.ranges) n *= std::max(0.0, range(r.hi).hi - range(r.lo).lo);
          inner += n;
        }
      };
      if (const auto* r = std::get_if<ir::Reduce>(&s->form)) cells(r->windows);
      if (const auto* c = std::get_if<ir::Call>(&s->form)) cells(c->windows);
      if (const auto* l = std::get_if<ir::Leaf>(&s->form))
        for (const ir::Assign& a : l->assigns) {
          double n = 1;
          for (const ir::Axis& x : a.over) n *= std::max(0.0, range(x.hi).hi - range(x.lo).lo);
          inner += n;
        }
      if (const auto* a = std::get_if<ir::Alloc>(&s->form))
        for (ir::BufferId id : a->buffers) {
          double n = 1;
          for (const ir::BoxDim& d : p_.buffer(id).box) n *= std::max(0.0, range(d.hi).hi - range(d.lo).lo);
          inner += n;  // the interpreter keeps every cell
        }
      inner += work(ir::children(s));
      sum += times * inner;
    }
    return sum;
  }

  Interval range(const ir::Expr& e) {
    if (const int64_t* c = ir::constant_value(e)) return {static_cast<double>(*c), static_cast<double>(*c)};
    if (const auto* v = e.as<ir::Var>()) {
      if (auto at = dims_.find(v->symbol.value); at != dims_.end())
        return {static_cast<double>(at->second), static_cast<double>(at->second)};
      if (auto at = loops_.find(v->symbol.value); at != loops_.end()) return at->second;
      return {-1000, 1000};
    }
    const auto* b = e.as<ir::Binary>();
    if (!b) return {-1000, 1000};
    const Interval x = range(b->left), y = range(b->right);
    const double all[] = {x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi};
    switch (b->op) {
      case ir::BinaryOp::add: return {x.lo + y.lo, x.hi + y.hi};
      case ir::BinaryOp::sub: return {x.lo - y.hi, x.hi - y.lo};
      case ir::BinaryOp::mul: return {*std::min_element(all, all + 4), *std::max_element(all, all + 4)};
      case ir::BinaryOp::min: return {std::min(x.lo, y.lo), std::min(x.hi, y.hi)};
      case ir::BinaryOp::max: return {std::max(x.lo, y.lo), std::max(x.hi, y.hi)};
      case ir::BinaryOp::div:
      case ir::BinaryOp::ceildiv:
        if (y.lo >= 1)
          return {std::floor(std::min(x.lo / y.lo, x.lo / y.hi)), std::ceil(std::max(x.hi / y.lo, x.hi / y.hi)) + 1};
        break;
      case ir::BinaryOp::mod:
        if (y.lo >= 1) return {0, y.hi};
        break;
      default: break;
    }
    const double m = std::max(std::abs(x.lo), std::abs(x.hi)) + std::max(std::abs(y.lo), std::abs(y.hi));
    return {-m, m};
  }

  const ir::Program& p_;
  std::map<uint32_t, int64_t> dims_;
  std::map<uint32_t, Interval> loops_;
  bool ok_ = true;
};

class ProgramRun {
 public:
  ProgramRun(const ir::Program& program, std::string schedule, bool printed, Random& r, Counts& counts)
      : p_(program), schedule_(std::move(schedule)), printed_(printed), r_(r), counts_(counts) {}

  std::string run() {
    ++counts_.programs;
    if (Diagnostics broken = ir::verify(p_); !broken.empty())
      return "a program that was read is not well-formed:\n" + render(broken);
    const bool safe = ir::check_safety(p_).empty();
    counts_.safe += safe;
    Sizes sizes(p_, r_);
    if (!sizes.ok() || !make_arrays(sizes)) return "";
    const bool small = sizes.work() < most_work;
    std::string wrong;
    if (small) wrong = interpret(safe);
    if (!wrong.empty()) return wrong;
    if (!r_.chance(safe ? 60 : 10)) return "";
    return compile(safe, small);
  }

 private:
  bool make_arrays(const Sizes& sizes) {
    for (const ir::Parameter& q : p_.parameters) {
      if (q.scalar.known()) {
        const double real = r_.pick({0.0, 1.0, -1.0, 0.5, 1e-5, 1e30});
        const int64_t integer = r_.pick({int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{3}, INT64_MAX, INT64_MIN});
        scalars_.push_back({real, integer});
        values_.push_back({real, integer});
        continue;
      }
      const ir::Buffer& b = p_.buffer(q.buffer);
      std::vector<int64_t> extents;
      size_t next = 0;
      int64_t bytes = ir::scalar_bytes(b.type);
      for (size_t axis = 0; axis < (b.groups.empty() ? b.box.size() : b.groups.size()); ++axis) {
        int64_t extent = 1;
        for (int part = b.groups.empty() ? 1 : b.groups[axis]; part-- > 0; ++next) {
          std::optional<int64_t> hi = sizes.eval(b.box[next].hi), lo = sizes.eval(b.box[next].lo);
          if (!hi || !lo || *hi - *lo < 0 || *hi - *lo > most_bytes) return false;
          extent *= *hi - *lo;
          if (extent > most_bytes) return false;
        }
        extents.push_back(extent);
        bytes *= extent;
        if (bytes > most_bytes) return false;
      }
      arrays_.emplace_back(b.type, extents, r_.chance(60));
      fill(arrays_.back());
      written_.push_back(b.role != ir::Role::in);
    }
    return true;
  }

  void fill(FencedArray& a) {
    const int64_t n = a.count();
    for (int64_t i = 0; i < n; ++i) {
      unsigned char* at = a.data() + i * ir::scalar_bytes(a.type());
      const double v =
          r_.chance(3) ? r_.pick({1e30, -1e30, 1e-40, HUGE_VAL, std::nan("")}) : (r_.below(4001) - 2000) / 500.0;
      const int64_t k =
          r_.chance(4) ? r_.pick({INT64_MIN, INT64_MAX, int64_t{-1}, INT64_MIN + 3, int64_t{1} << 62}) : r_.below(20);
      if (a.type() == ir::ScalarType::f64) std::memcpy(at, &v, 8);
      else if (a.type() == ir::ScalarType::f32) {
        const float f = static_cast<float>(v);
        std::memcpy(at, &f, 4);
      } else if (a.type() == ir::ScalarType::boolean) *at = static_cast<unsigned char>(k & 1);
      else std::memcpy(at, &k, static_cast<size_t>(ir::scalar_bytes(a.type())));
    }
  }

  std::vector<std::vector<unsigned char>> contents() const {
    std::vector<std::vector<unsigned char>> out;
    for (const FencedArray& a : arrays_) out.push_back(a.copy());
    return out;
  }
  void restore(const std::vector<std::vector<unsigned char>>& from) {
    for (size_t i = 0; i < arrays_.size(); ++i) std::copy(from[i].begin(), from[i].end(), arrays_[i].data());
  }
  std::string input_changed(const std::vector<std::vector<unsigned char>>& before) const {
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (!written_[i] && arrays_[i].copy() != before[i])
        return "input " + std::to_string(i) + " was written\n" + ir::print(p_);
    return "";
  }

  // The interpreter checks every access: what it finds in a program that was shown safe is a hole in the proof.
  std::string interpret(bool safe) {
    const std::vector<std::vector<unsigned char>> before = contents();
    ir::Arguments args;
    for (FencedArray& a : arrays_) args.arrays.push_back(a.ref());
    args.scalars = values_;
    ir::InterpretOptions how;
    how.max_leaves = most_leaves;
    how.seed = r_.next();
    Result<ir::InterpretResult> done = ir::interpret(p_, args, how);
    std::string wrong = input_changed(before);
    restore(before);
    if (!wrong.empty()) return "interpreter: " + wrong;
    if (done || !safe) return "";
    const std::string code = done.errors().front().code;
    for (const char* hole : {"HD0260", "HD0263", "HD0264", "HD0266", "HD0268", "HD0272"})
      if (code == hole) return "shown safe, but the interpreter finds:\n" + render(done.errors()) + ir::print(p_);
    return "";
  }

  std::string compile(bool safe, bool small) {
    static const std::vector<std::string> members = targets();
    Result<ir::Target> target = api::resolve_target(r_.pick(members));
    Result<std::shared_ptr<api::KernelImpl>> kernel = api::compile_program(p_, *target, schedule_, 1, 0, {}, printed_);
    if (!kernel) {
      render(kernel.errors());
      return "";
    }
    if (!safe) return "compiled, but not shown safe:\n" + ir::print(p_);
    ++counts_.compiled;
    return small ? call(**kernel) : "";
  }

  // As KernelImpl::run, with the temporaries between fences too.
  std::string call(api::KernelImpl& kernel) {
    const std::vector<std::vector<unsigned char>> before = contents();
    std::vector<jit::ArrayArg> args;
    for (FencedArray& a : arrays_)
      args.push_back(
          {a.type(), static_cast<int>(a.extents().size()), a.extents().data(), a.strides().data(), a.data(), false});
    if (kernel.plan.packs()) {  // operands that the call packs into memory of its own
      host::CheckReport report;
      if (jit::CallError e = kernel.run(args.data(), scalars_.data(), report, 1); e.kind)
        render(kernel.explain(e, args.data(), report));
      ++counts_.ran;
      return input_changed(before);
    }
    std::vector<uint64_t> words(static_cast<size_t>(kernel.plan.words()) + 1);
    std::vector<int64_t> dims(static_cast<size_t>(kernel.plan.dim_count()) + 1);
    uint64_t strided = 0;
    if (jit::CallError e = kernel.plan.bind(args.data(), scalars_.data(), dims.data(), words.data(), strided); e.kind) {
      render(kernel.plan.explain(e, args.data()));
      return "";
    }
    Result<const api::Variant*> code = kernel.variant(strided);
    if (!code) return "";
    const int64_t each = (*code)->code->arena()(words.data());
    if (each < 0 || each > 64 * most_bytes) return "";
    FencedArray arena(ir::ScalarType::u8, {(each + 63) / 64 * 64}, r_.chance(60));
    host::Context context{};
    context.parallel_for = jit::ThreadPool::parallel_for;
    context.threads = 1;
    context.arena = arena.data();
    context.arena_stride = (each + 63) / 64 * 64;
    (*code)->code->kernel()(&context, words.data());
    ++counts_.ran;
    return input_changed(before);
  }

  const ir::Program& p_;
  std::string schedule_;
  bool printed_;
  Random& r_;
  Counts& counts_;
  std::vector<FencedArray> arrays_;
  std::vector<bool> written_;
  std::vector<jit::ScalarArg> scalars_;
  std::vector<ir::ScalarValue> values_;
};

// Types and ranks of a request: the declared ones, or any for generics; a pack has one axis, or sometimes none or two.
CompileOptions request(const Op& op, Random& r) {
  CompileOptions out;
  const ir::ScalarType generic =
      r.pick({ScalarType::f32, ScalarType::f32, ScalarType::f64, ScalarType::bf16, ScalarType::i32});
  const int pack = r.pick({1, 1, 1, 0, 2});
  for (const ParameterInfo& p : op.parameters()) {
    if (p.kind == ParameterInfo::Kind::constant && !p.default_value) out.consts[p.name] = r.pick({0, 1, 2, 5});
    if (p.kind != ParameterInfo::Kind::array || (p.output && !p.inout)) continue;
    Spec spec{ir::parse_scalar_type(p.type).value_or(generic), {}};
    for (const std::string& d : p.dims)
      for (int i = d.starts_with("...") ? pack : 1; i-- > 0;) spec.extents.push_back(-1);
    out.arrays.push_back(std::move(spec));
  }
  return out;
}

std::string run_op(const Op& op, Random& r, Counts& counts) {
  CompileOptions options = request(op, r);
  Result<ir::Target> target = api::resolve_target("auto");
  Result<ir::Program> canonical = api::canonical_program(*op.impl(), options);
  if (!canonical) {
    render(canonical.errors());
    return "";
  }
  std::vector<std::string> schedules = op.schedules();
  schedules.push_back("");
  for (size_t i = 0; i < schedules.size() && i < 4; ++i) {
    options.schedule = schedules[i];
    Result<api::Lowered> lowered = api::schedule_program(*op.impl(), *canonical, options, *target);
    if (!lowered) {
      for (const Diagnostic& d : lowered.errors())
        if (d.code.starts_with("HD09")) return "a step made a broken program:\n" + render(lowered.errors());
      render(lowered.errors());
      continue;
    }
    const ir::Program& program = lowered->scheduled.program;
    if (Diagnostics open = ir::check_safety(program); !open.empty()) {
      // The prover gives up on some products of steps, and the compiler refuses them: counted, so that they stay few.
      render(open);
      ++counts.unproved;
      continue;
    }
    if (std::string wrong = ProgramRun(program, schedules[i], false, r, counts).run(); !wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace

std::string run_text(const std::string& text, Random& r, Counts& counts) {
  ++counts.texts;
  Result<Module> module = Module::parse(text, "fuzz.hd");
  if (!module) {
    render(module.errors());
    return "";
  }
  ++counts.parsed;
  int left = 3;
  for (const std::string& name : module->ops()) {
    if (left-- == 0) break;
    if (Result<Op> op = module->op(name); op)
      if (std::string wrong = run_op(*op, r, counts); !wrong.empty()) return wrong;
  }
  left = 3;
  const frontend::Module& checked = module->impl()->module();
  for (const auto& item : checked.programs) {
    if (left-- == 0) break;
    Result<ir::Program> program = frontend::read_program(*item, checked);
    if (!program) {
      render(program.errors());
      continue;
    }
    if (std::string wrong = ProgramRun(*program, "", true, r, counts).run(); !wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace heddle::fuzz
