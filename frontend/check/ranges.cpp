// Ranges of indices and bounds of reads.
//
// A range is written, or it is the dim of a declared result, or every bare unconditional occurrence of the index as a
// whole subscript gives it: nothing is solved for. Every other subscript is shown inside by the prover, or refused with
// the `require` that would show it.
#include <algorithm>
#include <cctype>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/print.h"
#include "ir/visit.h"

namespace heddle::frontend {

// As a text may write it: `index(lo)` of a program is `lo` there.
std::string OpChecker::text(const ir::Expr& e) const {
  static constexpr std::string_view word = "index(";
  static constexpr size_t longest = 160;
  std::string out = ir::print(frame_, e);
  for (size_t at = out.find(word); at != std::string::npos; at = out.find(word, at + 1)) {
    if (at > 0 && (std::isalnum(static_cast<unsigned char>(out[at - 1])) || out[at - 1] == '_')) continue;
    const size_t first = at + word.size();
    size_t end = first;
    for (int open = 1; end < out.size() && open > 0; ++end) open += out[end] == '(' ? 1 : out[end] == ')' ? -1 : 0;
    const std::string inner = out.substr(first, end - 1 - first);
    const bool plain = inner.find(' ') == std::string::npos;
    out = out.substr(0, at) + (plain ? inner : "(" + inner + ")") + out.substr(end);
  }
  return out.size() > longest ? out.substr(0, longest - 3) + " .." : out;
}

const OpChecker::Index* OpChecker::index_of(const ir::Expr& e) const {
  const auto* v = e.as<ir::Var>();
  if (!v) return nullptr;
  for (const Index& i : scope_.indices)
    if (i.symbol == v->symbol) return &i;
  return nullptr;
}

bool OpChecker::resolve_ranges() {
  bool ok = true;
  for (Index& i : scope_.indices)
    if (!i.lo.known()) ok &= infer(i);
  return ok;
}

// `...r` on a left side, which no read gives a range: a pack has the dims that it is declared with, and no other spelling of them.
bool OpChecker::runs_over_its_pack(Index& index) const {
  for (const auto& [name, positions] : scope_.packs) {
    const Pack& pack = packs_.at(name);
    for (size_t k = 0; k < positions.size() && k < pack.dims.size(); ++k) {
      if (&scope_.indices[positions[k]] != &index || !pack.dims[k].known()) continue;
      index.lo = ir::index_constant(0);
      index.hi = pack.dims[k];
      index.range_place = pack.place;
      return true;
    }
  }
  return false;
}

bool OpChecker::infer(Index& index) {
  for (const Access& a : scope_.accesses) {
    if (a.conditional || a.tried || !shape_known(a)) continue;
    const ir::Buffer& buffer = frame_.buffer(a.buffer);
    for (size_t k = 0; k < a.subs.size(); ++k) {
      const auto* v = a.subs[k].as<ir::Var>();
      if (!v || v->symbol != index.symbol) continue;
      const ir::BoxDim& box = buffer.box[k];
      if (!index.lo.known()) {
        index.lo = box.lo;
        index.hi = box.hi;
        index.range_place = a.sub_places[k];
        continue;
      }
      bool same = (ir::same(index.lo, box.lo) && ir::same(index.hi, box.hi)) ||
                  (ir::equal(index.lo, box.lo, facts_) && ir::equal(index.hi, box.hi, facts_));
      if (same) continue;
      bool lo_same = ir::same(index.lo, box.lo);
      report(Diagnostic(codes::range_conflict, a.sub_places[k],
                        "`" + index.name + "` runs over `" + text(box.lo) + " .. " + text(box.hi) +
                            "` here, and over `" + text(index.lo) + " .. " + text(index.hi) + "` before")
                 .label(index.range_place, "`" + index.name + "` runs over `" + text(index.lo) + " .. " +
                                               text(index.hi) + "` by this read")
                 .with_help(lo_same ? "if the dims are equal, say so: `require " + text(index.hi) +
                                          " == " + text(box.hi) + ", \"..\"`"
                                    : "write the range: `" + index.name + " in .. .. ..`"));
      return false;
    }
  }
  if (index.lo.known() || runs_over_its_pack(index)) return true;
  report(Diagnostic(codes::unbound_index, index.place, "nothing gives the index `" + index.name + "` a range")
             .with_help("write the range of `" + index.name + "`: `" + index.name +
                        " in 0 .. n`; only a bare subscript of a read that always runs gives one"));
  return false;
}

bool OpChecker::show_reads() {
  bool ok = true;
  // Checks on data add no accesses, so the list does not grow here.
  for (size_t i = 0; i < scope_.accesses.size(); ++i) {
    const Access& a = scope_.accesses[i];
    ok &= in_scan_order(a);
    for (size_t k = 0; a.tried && k < a.subs.size(); ++k) check_arithmetic(a, k);
    if (a.tried) continue;
    if (!shape_known(a)) {
      scan_.later.push_back({scope_, i, result_.op.equations.size()});
      continue;
    }
    for (size_t k = 0; k < a.subs.size(); ++k) ok &= show(a, k);
  }
  if (ok) check_ranges_of_data();
  return ok;
}

bool OpChecker::trivially_inside(const ir::Expr& sub, const ir::BoxDim& box) const {
  const Index* index = index_of(sub);
  return index && ir::same(index->lo, box.lo) && ir::same(index->hi, box.hi);
}

ir::Facts OpChecker::facts_at(const Access& access) const {
  ir::Facts facts = facts_;
  size_t visible = std::min(access.visible, scope_.indices.size());
  for (size_t i = 0; i < visible; ++i) {
    const Index& index = scope_.indices[i];
    if (index.lo.known()) facts.add_range(index.symbol, index.lo, index.hi);
  }
  if (scope_.where.known() && access.visible == SIZE_MAX) facts.add(scope_.where);
  for (const ir::Expr& c : access.path) facts.add(c);
  return facts;
}

bool OpChecker::show(const Access& access, size_t k) {
  const ir::Expr& sub = access.subs[k];
  const ir::BoxDim& box = frame_.buffer(access.buffer).box[k];
  if (trivially_inside(sub, box)) return true;
  bool data = depends_on_data(sub);
  if (!options_.show_bounds && !data) return true;
  ir::Facts facts = facts_at(access);
  bool low = ir::prove(facts, ir::less_equal(box.lo, sub));
  bool high = ir::prove(facts, ir::less(sub, box.hi));
  if (low && high) return true;
  if (data) {
    check_data(access, k);
    return true;
  }
  if (defer(access, k)) {
    result_.deferred = true;
    return true;
  }
  report(outside(access, k, facts, low, high));
  return false;
}

// At the definition a const without value is a symbol, and products with it are beyond the prover: the bound is shown
// when the const is chosen.
bool OpChecker::defer(const Access& access, size_t k) const {
  if (!options_.definition) return false;
  const ir::BoxDim& box = frame_.buffer(access.buffer).box[k];
  if (mentions_const(access.subs[k]) || mentions_const(box.lo) || mentions_const(box.hi)) return true;
  return std::any_of(scope_.indices.begin(), scope_.indices.end(), [&](const Index& i) {
    return ir::mentions(access.subs[k], i.symbol) && (mentions_const(i.lo) || mentions_const(i.hi));
  });
}

bool OpChecker::mentions_const(const ir::Expr& e) const {
  bool found = false;
  ir::walk(e, [&](const ir::Expr& node) {
    const auto* v = node.as<ir::Var>();
    if (v && frame_.symbol(v->symbol).kind == ir::SymbolKind::constant) found = true;
    return !found;
  });
  return found;
}

Diagnostic OpChecker::outside(const Access& access, size_t k, const ir::Facts& facts, bool low, bool high) const {
  const ir::Expr& sub = access.subs[k];
  const ir::BoxDim& box = frame_.buffer(access.buffer).box[k];
  const Tensor& t = tensors_[access.tensor];
  const Index* bare = index_of(sub);
  std::string need = required(sub, box, facts, low, high);
  bool shapes = bare && !access.conditional;
  std::string message;
  if (shapes) {
    message = "`" + bare->name + "` runs over `" + text(bare->lo) + " .. " + text(bare->hi) + "`, and this dim of `" +
              t.name + "` over `" + text(box.lo) + " .. " + text(box.hi) + "`";
  } else {
    std::string below = "`" + text(ir::binary(ir::BinaryOp::ge, sub, box.lo)) + "`",
                above = "`" + text(ir::less(sub, box.hi)) + "`";
    if (ir::constant_value(sub))
      below = "`" + text(sub) + " >= " + text(box.lo) + "`", above = "`" + text(sub) + " < " + text(box.hi) + "`";
    message = "cannot show that " + (low ? "" : below) + (low || high ? "" : " and ") + (high ? "" : above) + " in `" +
              excerpt(access.place) + "`";
  }
  Diagnostic d(shapes ? codes::range_conflict : codes::read_outside, access.sub_places[k], message);
  d.labels.push_back(
      {t.place, "`" + t.name + "` runs over `" + text(box.lo) + " .. " + text(box.hi) + "` in this dim"});
  for (const Index& i : scope_.indices)
    if (ir::mentions(sub, i.symbol) && i.lo.known())
      d.labels.push_back({i.range_place.known() ? i.range_place : i.place,
                          "`" + i.name + "` runs over `" + text(i.lo) + " .. " + text(i.hi) + "`"});
  if (!need.empty())
    d.help = "add `require " + need + ", \"..\"`, or give a value for outside: `" + excerpt(access.place) + " or 0`";
  else
    d.help = "give a value for outside, `" + excerpt(access.place) +
             " or 0`, read it in an arm of `if`, or write a smaller range";
  return d;
}

// The condition on dims, consts and scalars that would show the read inside; empty when none would.
std::string OpChecker::required(const ir::Expr& sub, const ir::BoxDim& box, const ir::Facts& facts, bool low,
                                bool high) const {
  std::vector<ir::SymbolRange> ranges;
  for (const Index& i : scope_.indices)
    if (i.lo.known()) ranges.push_back({i.symbol, i.lo, i.hi});
  ir::Bounds b = ir::bounds_over(sub, ranges, facts);
  if (!b.ok) return "";
  std::string out;
  auto add = [&](const ir::Expr& small, const ir::Expr& large) {
    ir::Expr slack = ir::simplify(large - small);
    if (const int64_t* c = ir::constant_value(slack)) return *c >= 0;
    for (const Index& i : scope_.indices)
      if (ir::mentions(small, i.symbol) || ir::mentions(large, i.symbol)) return false;
    out += (out.empty() ? "" : " && ") + text(small) + " <= " + text(large);
    return true;
  };
  if (!low && !add(box.lo, ir::simplify(b.lo))) return "";
  if (!high && !add(ir::simplify(b.hi + 1), box.hi)) return "";
  return out;
}

}  // namespace heddle::frontend
