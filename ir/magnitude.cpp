// A polynomial in the dims, with coefficients that are not negative, for each index expression: sums add, products multiply, a
// loop variable is as large as its bounds. What is always small enough is dropped.
#include "ir/magnitude.h"

#include <algorithm>
#include <map>

#include "ir/visit.h"
#include "support/result.h"

namespace heddle::ir {
namespace {

constexpr size_t most_terms = 64, most_factors = 16;
constexpr double narrow_data = 4294967296.0;  // integers of at most 32 bits

// Dims of a monomial, ascending, to its coefficient.
using Poly = std::map<std::vector<uint32_t>, double>;

Poly constant(double value) { return {{{}, value}}; }

void add(Poly& to, const Poly& from) {
  for (const auto& [m, c] : from) to[m] += c;
}

Poly product(const Poly& a, const Poly& b) {
  Poly out;
  for (const auto& [x, c] : a)
    for (const auto& [y, d] : b) {
      std::vector<uint32_t> m = x;
      m.insert(m.end(), y.begin(), y.end());
      std::sort(m.begin(), m.end());
      if (m.size() > most_factors) m.resize(most_factors + 1);  // seen by `of`: such a value never fits
      out[m] += c * d;
    }
  return out;
}

// At most one dim in each term, and small factors: below the limit whenever each dim is.
bool small(const Poly& p) {
  double sum = 0;
  for (const auto& [m, c] : p) {
    if (m.size() > 1) return false;
    sum += m.empty() ? c / static_cast<double>(largest_dim) : c;
  }
  return sum * static_cast<double>(largest_dim) < largest_index;
}

class Meter {
 public:
  explicit Meter(const Program& p) : p_(p) {}

  Magnitude run() {
    // Data is as large as what bounds it: first what it is compared with, then everything.
    body(p_.body);
    data_ = compared_;
    add(data_, constant(1));
    all_.clear();
    known_.clear();
    body(p_.body);
    Magnitude out;
    out.fits = !too_many_;
    for (const auto& [m, c] : all_) {
      Magnitude::Term term{c, {}};
      for (uint32_t dim : m) term.dims.push_back({dim});
      if (m.empty() && !(c < largest_index)) out.fits = false;
      out.terms.push_back(std::move(term));
    }
    return out;
  }

 private:
  void body(const Body& list) {
    for (const StmtRef& s : list) std::visit([&](const auto& form) { stmt(form); }, s->form);
  }
  void stmt(const For& l) {
    define(l.loop, l.lo, l.hi);
    body(l.body);
  }
  void stmt(const Alloc& a) {
    for (BufferId id : a.buffers) {
      const Buffer& b = p_.buffer(id);
      for (size_t i = 0; i < b.box.size(); ++i) {
        Poly reach = of(b.box[i].lo);
        add(reach, of(b.box[i].hi));
        if (b.layout) known_[b.layout->from[i].value] = std::move(reach);
      }
      if (b.layout)
        for (const Expr& e : b.layout->to) of(e);
    }
  }
  void windows(const std::vector<Window>& list) {
    for (const Window& w : list)
      for (const Range& r : w.ranges) of(r.lo), of(r.hi);
  }
  void stmt(const Reduce& r) {
    windows(r.windows);
    body(r.body);
  }
  void stmt(const Call& c) { windows(c.windows); }
  void stmt(const Check& c) {
    look(c.condition);
    for (const Expr& e : c.coordinates) look(e);
  }
  void stmt(const Leaf& l) {
    const Stage& stage = p_.stage(l.stage);
    look(l.predicate);
    for (size_t i = 0; i < stage.axes.size(); ++i) known_[stage.axes[i].symbol.value] = of(l.bindings[i]);
    for (const Assign& a : l.assigns) {
      for (const Axis& x : a.over) define(x.symbol, x.lo, x.hi);
      for (const Expr& sub : a.subs) look(sub);
      look(a.value);
    }
  }

  void define(SymbolId symbol, const Expr& lo, const Expr& hi) {
    Poly reach = of(lo);
    add(reach, of(hi));
    known_[symbol.value] = std::move(reach);
  }

  // Every index expression inside an expression of any type.
  void look(const Expr& e) {
    if (!e.known()) return;
    walk(e, [&](const Expr& node) {
      if (node.type() != ScalarType::index) {
        note_compared(node);
        return true;
      }
      of(node);
      return false;
    });
  }

  void note_compared(const Expr& e) {
    const Binary* b = e.as<Binary>();
    if (!b || b->left.type() != ScalarType::index) return;
    if (b->left.as<Convert>()) widen(compared_, of(b->right));
    if (b->right.as<Convert>()) widen(compared_, of(b->left));
  }

  static void widen(Poly& to, const Poly& from) {
    for (const auto& [m, c] : from) {
      double& at = to[m];
      at = std::max(at, c);
    }
  }

  Poly of(const Expr& e) {
    if (!e.known() || too_many_) return {};
    Poly out = value(e);
    too_many_ |= out.size() > most_terms;
    for (const auto& [m, c] : out) too_many_ |= m.size() > most_factors;
    if (!too_many_ && !small(out)) widen(all_, out);
    too_many_ |= all_.size() > most_terms;
    return out;
  }

  Poly value(const Expr& e) {
    if (const Constant* c = e.as<Constant>()) return constant(std::abs(static_cast<double>(c->integer)));
    if (const Var* v = e.as<Var>()) return symbol(v->symbol);
    if (const Binary* b = e.as<Binary>()) return binary_value(*b);
    if (const Unary* u = e.as<Unary>()) return of(u->value);
    if (const Convert* c = e.as<Convert>()) {
      look(c->value);
      return is_integer(c->value.type()) && scalar_bytes(c->value.type()) < 8 ? constant(narrow_data) : data_;
    }
    if (const Select* s = e.as<Select>()) {
      look(s->condition);
      Poly out = of(s->yes);
      add(out, of(s->no));
      return out;
    }
    look_parts(e);
    return data_;
  }

  void look_parts(const Expr& e) {
    walk(e, [&](const Expr& node) {
      if (node.is(e)) return true;
      look(node);
      return false;
    });
  }

  Poly symbol(SymbolId id) {
    const Symbol& s = p_.symbol(id);
    if (s.kind == SymbolKind::dim) return {{{id.value}, 1.0}};
    auto at = known_.find(id.value);
    return at != known_.end() ? at->second : data_;
  }

  Poly binary_value(const Binary& b) {
    Poly left = of(b.left), right = of(b.right);
    switch (b.op) {
      case BinaryOp::mul: return product(left, right);
      case BinaryOp::mod: return right;
      case BinaryOp::div:
      case BinaryOp::ceildiv: {
        const int64_t* d = constant_value(b.right);
        if (d && *d > 1)
          for (auto& [m, c] : left) c /= static_cast<double>(*d);
        add(left, constant(1));
        return left;
      }
      default: add(left, right); return left;
    }
  }

  const Program& p_;
  std::map<uint32_t, Poly> known_;  // loops, axes, coordinates
  Poly all_;                        // the greatest coefficient of each monomial seen
  Poly compared_, data_;
  bool too_many_ = false;
};

}  // namespace

Magnitude index_magnitude(const Program& program) { return Meter(program).run(); }

}  // namespace heddle::ir
