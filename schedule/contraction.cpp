#include "schedule/contraction.h"

#include <algorithm>

#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

namespace {

// The two reads whose product is summed, conversions aside.
bool factors(const Expr& e, std::vector<const Load*>& out) {
  if (const Convert* c = e.as<Convert>()) return factors(c->value, out);
  if (const Load* l = e.as<Load>()) return out.push_back(l), true;
  const Binary* b = e.as<Binary>();
  return b && b->op == BinaryOp::mul && factors(b->left, out) && factors(b->right, out);
}

bool uses(const Load& l, SymbolId axis) {
  return std::any_of(l.subs.begin(), l.subs.end(), [&](const Expr& e) { return mentions(e, axis); });
}

Diagnostic no_contraction(const Place& place, const std::string& name, const std::string& why) {
  return Diagnostic(codes::not_a_reduction, place, "`" + name + "` is no contraction: " + why)
      .with_help("a contraction is a sum of products of two reads, such as `sum[p] a[i, p] * b[p, j]`");
}

}  // namespace

Result<Contraction> contraction_of(const Program& p, StageId stage, const Place& place) {
  const Stage& row = p.stage(stage);
  std::vector<LeafSite> sites = leaves_of(p, stage);
  if (sites.size() != 1) return no_contraction(place, row.name, "its nest has several parts");
  const Leaf& leaf = sites[0].leaf();
  std::vector<const Load*> read;
  if (row.reducer != "sum" || leaf.assigns.size() != 1 || !factors(leaf.assigns[0].value, read) || read.size() != 2)
    return no_contraction(place, row.name, "it does not sum products of two reads");
  Contraction out{{"batch", {}}, {"m", {}}, {"n", {}}, {"k", {}}};
  out["a"] = {p.buffer(read[0]->buffer).name};
  out["b"] = {p.buffer(read[1]->buffer).name};
  for (const StmtRef& s : sites[0].path) {
    const For* l = as<For>(s);
    if (!l || p.symbol(l->loop).owner != row.name)
      continue;  // those of the stage that it is computed in are not its own
    for (size_t i = 0; i < row.axes.size(); ++i) {
      if (!mentions(leaf.bindings[i], l->loop)) continue;
      const bool first = uses(*read[0], row.axes[i].symbol), second = uses(*read[1], row.axes[i].symbol);
      const std::string axis = "`" + p.symbol(row.axes[i].symbol).name + "`";
      if (!first && !second) return no_contraction(place, row.name, "neither operand uses " + axis);
      const bool summed = row.axes[i].cls == AxisClass::reduce;
      if (summed && first != second) return no_contraction(place, row.name, "only one operand uses " + axis);
      out[summed ? "k" : first && second ? "batch" : first ? "m" : "n"].push_back(loop_name(p, l->loop));
      break;
    }
  }
  return out;
}

namespace {

struct Filler {
  const std::map<std::string, Contraction>& known;

  const std::vector<std::string>* find(const Term& t, std::string& part) const {
    size_t dot = t.text.rfind('.');
    if (t.kind != Term::Kind::path || dot == std::string::npos) return nullptr;
    auto c = known.find(t.text.substr(0, dot));
    if (c == known.end()) return nullptr;
    part = t.text.substr(dot + 1);
    auto list = c->second.find(part);
    static const std::vector<std::string> none;
    return list == c->second.end() ? &none : &list->second;
  }

  Result<Term> one(const Term& t) const {
    Term out = t;
    for (Term& a : out.args) {
      Result<Term> inner = one(a);
      if (!inner) return inner;
      a = *std::move(inner);
    }
    std::string part;
    const std::vector<std::string>* list = find(t, part);
    if (!list) return out;
    if (list->empty()) {
      Diagnostic d(codes::unknown_name, t.place, "the contraction has no `" + part + "` here");
      d.help = "its parts are `batch`, `m`, `n` and `k` (loops), `a` and `b` (operands)";
      return d;
    }
    out.text = list->back();
    return out;
  }
};

}  // namespace

Result<StepCall> with_contractions(const std::map<std::string, Contraction>& known, const StepCall& call,
                                   bool takes_list) {
  if (known.empty()) return call;
  Filler filler{known};
  StepCall out = call;
  out.operands.clear();
  for (const Term& t : call.operands) {
    std::string part;
    const std::vector<std::string>* list = takes_list ? filler.find(t, part) : nullptr;
    if (list) {
      for (const std::string& name : *list) {
        out.operands.push_back(t);
        out.operands.back().text = name;
      }
      continue;
    }
    Result<Term> one = filler.one(t);
    if (!one) return one.errors();
    out.operands.push_back(*one);
  }
  for (auto& [preposition, terms] : out.with)
    for (Term& t : terms) {
      Result<Term> one = filler.one(t);
      if (!one) return one.errors();
      t = *std::move(one);
    }
  return out;
}

}  // namespace heddle::schedule
