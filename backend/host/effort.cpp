#include "backend/host/effort.h"

#include <algorithm>

#include "ir/visit.h"

namespace heddle::host {

namespace {

using ir::Expr;
using ir::StmtRef;

constexpr double lanes = 16;          // of a vector loop, for what it is worth: 8 with AVX2
constexpr double of_a_function = 12;  // exp and the like, as polynomials
constexpr double of_a_call = 3;       // an instruction of a machine, with what it reads
constexpr double of_a_store = 2;

// A load counts as `of_a_load`.
double operations(const Expr& value, double of_a_load) {
  double sum = 0;
  ir::walk(value, [&](const Expr& e) {
    if (e.as<ir::MathCall>()) sum += of_a_function;
    else if (e.as<ir::Load>()) sum += of_a_load;
    else if (!e.as<ir::Constant>() && !e.as<ir::Var>()) sum += 1;
    return !e.as<ir::Load>();  // subscripts are the loops' business
  });
  return sum;
}

class Estimate {
 public:
  Estimate(const ir::Program& p, const ir::Facts& facts) : p_(p), facts_(facts) {}

  void add(const StmtRef& s) {
    if (const auto* leaf = std::get_if<ir::Leaf>(&s->form)) {
      double each = 0;
      for (const ir::Assign& a : leaf->assigns) {
        // What a tile of sums in registers reads is used by several of them, and its conditions are asked outside.
        const bool tile = p_.buffer(a.buffer).memory == ir::Memory::registers;
        each += tile ? operations(a.value, 0) : operations(a.value, 1) + of_a_store + (leaf->predicate.known() ? 1 : 0);
      }
      count(each);
    } else if (std::get_if<ir::Call>(&s->form)) {
      count(of_a_call);
    } else if (const auto* loop = std::get_if<ir::For>(&s->form)) {
      below(*loop);
    } else {
      for (const StmtRef& inner : ir::children(s)) add(inner);
    }
  }

  bool fine() const { return fine_; }
  std::vector<Effort> found() && { return std::move(found_); }

 private:
  void count(double each) { found_.push_back({each * factor_, trips_}); }

  void below(const ir::For& loop) {
    const double before = factor_;
    const Expr n = ir::simplify(loop.hi - loop.lo);
    const int64_t* constant = ir::constant_value(n);
    if (constant) {
      factor_ *= static_cast<double>(std::max<int64_t>(*constant, 0));
    } else {
      const ir::Bounds whole = ir::bounds_over(n, that_say(n), facts_);
      fine_ = fine_ && whole.ok && !ir::mentions_load(whole.hi);
      trips_.push_back(whole.hi);
    }
    if (loop.kind == ir::LoopKind::vector) factor_ /= lanes;
    around_.push_back({loop.loop, loop.lo, loop.hi});
    for (const StmtRef& s : loop.body)
      if (fine_) add(s);
    around_.pop_back();
    if (!constant) trips_.pop_back();
    factor_ = before;
  }

  // The loops around that `n` speaks of, themselves or by the ends of others.
  std::vector<ir::SymbolRange> that_say(const Expr& n) const {
    std::vector<ir::SymbolRange> out;
    for (auto r = around_.rbegin(); r != around_.rend(); ++r) {
      bool said = ir::mentions(n, r->symbol);
      for (const ir::SymbolRange& inner : out)
        said = said || ir::mentions(inner.lo, r->symbol) || ir::mentions(inner.hi, r->symbol);
      if (said) out.insert(out.begin(), *r);
    }
    return out;
  }

  const ir::Program& p_;
  const ir::Facts& facts_;
  std::vector<ir::SymbolRange> around_;
  std::vector<Expr> trips_;
  double factor_ = 1;
  bool fine_ = true;
  std::vector<Effort> found_;
};

}  // namespace

std::optional<std::vector<Effort>> effort_of(const ir::Program& program, const StmtRef& s, const ir::Facts& facts) {
  Estimate estimate(program, facts);
  estimate.add(s);
  if (!estimate.fine()) return std::nullopt;
  return std::move(estimate).found();
}

}  // namespace heddle::host
