// fix d = N, ..
//
//   the dim d becomes the constant N everywhere: in shapes, ranges, bounds and facts; the schedule then serves only
//   calls with d == N
//
// Refused: d is no dim of the op, or is computed by a `let`; N is negative or contradicts a fact.
#include "ir/array_axes.h"
#include "ir/print.h"
#include "schedule/names.h"
#include "schedule/tree.h"

namespace heddle::schedule {

using namespace ir;

namespace {

using Put = std::function<void(Expr&)>;

void put_in_axes(std::vector<Axis>& axes, const Put& put) {
  for (Axis& a : axes) put(a.lo), put(a.hi);
}

void put_in_reducer(Reducer& r, const Put& put) {
  for (ReducerField& f : r.fields)
    for (Expr& e : f.extents) put(e);
  for (std::vector<ReducerLine>* lines : {&r.identity, &r.combine, &r.whole})
    for (ReducerLine& l : *lines) put(l.value);
}

void put_in_tables(Program& p, const Put& put) {
  for (Buffer& b : p.buffers) {
    for (BoxDim& d : b.box) put(d.lo), put(d.hi);
    put(b.pad);
  }
  for (Stage& s : p.stages) {
    put_in_axes(s.axes, put);
    put(s.where);
  }
  for (Reducer& r : p.reducers) put_in_reducer(r, put);
  for (Expr& e : p.facts) put(e);
  for (Requirement& r : p.requirements) put(r.condition);
  for (Parameter& q : p.parameters) put(q.default_value);
}

Result<size_t> find_dim(const Step& step, const Term& term) {
  const Program& p = step.program;
  std::vector<std::string> known;
  for (size_t i = 0; i < p.dims.size(); ++i) {
    known.push_back(p.symbol(p.dims[i].dim).name);
    if (term.kind != Term::Kind::path || known.back() != term.text) continue;
    if (p.dims[i].value.known() && !constant_value(p.dims[i].value))
      return Diagnostic(codes::bad_fix, term.place,
                        "`" + term.text + "` is computed as `" + print(p, p.dims[i].value) + "`, not passed in")
          .with_help("fix the dims that it is made of");
    return i;
  }
  Diagnostic d(codes::bad_fix, term.place, "`" + term.text + "` is no dim of the op");
  std::string near = nearest(term.text, known);
  d.help = near.empty() ? "its dims: " + quoted_list(known) : "did you mean `" + near + "`?";
  return d;
}

// As where a text is read, dims that are an axis by themselves come before those that are part of one: what was `n + k` may be `n` now.
void whole_axes_first(Program& p) {
  std::vector<DimDefinition> dims = dims_of_whole_axes(p);
  auto taken = [&](SymbolId dim) {
    return std::any_of(dims.begin(), dims.end(), [&](const DimDefinition& d) { return d.dim == dim; });
  };
  auto bound = [&](SymbolId dim) {
    return std::any_of(p.dims.begin(), p.dims.end(),
                       [&](const DimDefinition& d) { return d.dim == dim && !d.value.known(); });
  };
  std::erase_if(dims, [&](const DimDefinition& d) { return !bound(d.dim); });
  for (const DimDefinition& d : p.dims)
    if (!taken(d.dim)) dims.push_back(d);
  p.dims = std::move(dims);
}

Result<Done> fix_one(Step& step, const Term& term) {
  if (term.kind != Term::Kind::binary || (term.text != "=" && term.text != "==") || term.args.size() != 2)
    return Diagnostic(codes::wrong_operands, term.place, "`fix` takes a dim and its value: `fix n = 1024`");
  Result<int64_t> value = integer_of(step, term.args[1]);
  if (!value) return value.errors();
  if (*value < 0) return Diagnostic(codes::bad_fix, term.args[1].place, "a dim is at least 0");
  Result<size_t> index = find_dim(step, term.args[0]);
  if (!index) return index.errors();
  Program& p = step.program;
  const SymbolId dim = p.dims[*index].dim;
  if (p.dims[*index].value.known()) {  // fixed by the caller, or by an earlier line
    const int64_t now = *constant_value(p.dims[*index].value);
    if (now == *value) return Done{};
    return Diagnostic(codes::bad_fix, term.place, "`" + term.args[0].text + "` is " + std::to_string(now) + " already");
  }
  const Substitution map{{dim, index_constant(*value)}};
  Put put = [&](Expr& e) {
    if (e.known() && mentions(e, dim)) e = tidy(substitute(e, map));
  };

  put_in_tables(p, put);
  // A constant needs no dim before it, and stands where a `let` of the printed text would be read.
  p.dims.erase(p.dims.begin() + static_cast<std::ptrdiff_t>(*index));
  for (DimDefinition& d : p.dims) put(d.offset), put(d.divisor), put(d.value);
  whole_axes_first(p);
  p.dims.push_back(DimDefinition{.dim = dim, .value = index_constant(*value)});
  for (StmtRef& s : p.body)
    s = map_exprs(s, [&](const Expr& e) {
      Expr next = e;
      put(next);
      return next;
    });
  std::vector<Expr> facts;
  for (const Expr& fact : p.facts) {
    const int64_t* known = constant_value(fact);
    if (known && !*known)
      return Diagnostic(codes::bad_fix, term.place,
                        "`" + p.symbol(dim).name + " = " + std::to_string(*value) + "` contradicts a fact of the op");
    if (!known) facts.push_back(fact);
  }
  p.facts = std::move(facts);
  step.relied_on("`" + p.symbol(dim).name + " == " + std::to_string(*value) + "`, tested at each call");
  return Done{};
}

}  // namespace

Result<Done> fix_step(Step& step) {
  for (const Term& term : step.call.operands) {
    Result<Done> done = fix_one(step, term);
    if (!done) return done;
  }
  return Done{};
}

}  // namespace heddle::schedule
