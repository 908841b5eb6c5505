// `dt[id[i], e] = sum[i] dy[i, e]`: a reduction into computed cells. The whole result starts from the identity; each point combines its
// value into the cell that its left side names, in the order of the loops. Indices of the brackets that the left side mentions are
// scatter axes; bare names are map axes and run over their whole dims.
#include <algorithm>

#include "frontend/check/op_checker.h"
#include "frontend/codes.h"
#include "ir/visit.h"

namespace heddle::frontend {

// A reduction whose left side has a subscript that is no index of its own.
bool OpChecker::scatters(const ast::Equation& eq) const {
  if (!eq.right.reduction) return false;
  auto computed = [](const ast::Entry& e) {
    return e.kind == ast::Entry::Kind::value && !e.bound && e.value && !e.value->as_name() &&
           !e.value->as<ast::Tuple>();
  };
  for (const ast::Entry& e : eq.left[0].subs) {
    const auto* tuple = e.value ? e.value->as<ast::Tuple>() : nullptr;
    if (computed(e) || (tuple && std::any_of(tuple->entries.begin(), tuple->entries.end(), computed))) return true;
  }
  return false;
}

void OpChecker::scatter(int target, const ast::Equation& eq) {
  const ast::Ref& left = eq.left[0];
  const ast::Reduction& r = *eq.right.reduction;
  Tensor& t = tensors_[target];
  const std::string reducer = r.reducer.text();
  scope_.stage = t.name;
  t.state = Tensor::State::broken;
  size_t before = found_.size();
  if (scan_.item) {
    report(Diagnostic(codes::left_side, left.place, "computed cells take their values outside of a scan")
               .label(scan_.item->axis.place, "the scan"));
    return;
  }
  if (!t.result) {
    report(Diagnostic(codes::left_side, left.place, "nothing gives `" + t.name + "` its dims: its cells are computed")
               .with_help("let a result of the op take the contributions"));
    return;
  }
  if (!is_builtin_reducer(reducer) || reducer == "argmax" || reducer == "argmin" || !r.body) {
    report(Diagnostic(codes::left_side, r.reducer.place,
                      "computed cells take a value: `" + reducer + "` does not combine into them")
               .with_help("the reducers here are `sum prod max min any all`"));
    return;
  }
  Cell written;
  if (!start_cell(left, target, false, written)) return;
  const ir::Buffer buffer = frame_.buffer(t.buffers[0]);
  t.state = Tensor::State::pending;  // its own right side may not read it
  if (binders(r) && finish_cell(written)) result_ranges(t, written.access.subs);
  const Access cell = written.access;
  if (found_.size() != before) return void(t.state = Tensor::State::broken);
  for (const ir::Expr& sub : cell.subs)
    for (Index& i : scope_.indices)
      if (i.cls == ir::AxisClass::reduce && ir::mentions(sub, i.symbol)) i.cls = ir::AxisClass::scatter;
  ir::Expr v = value_of_type(*r.body, buffer.type, "`" + t.name + "`", t.place, t.type_text);
  scope_.accesses.push_back(cell);
  t.state = Tensor::State::broken;
  if (!v.known() || found_.size() != before || !reducible(reducer, *r.body, v) || !resolve_ranges() ||
      !covers(t, cell.subs, left) || !show_reads() || found_.size() != before)
    return;
  finish(target, eq, cell.subs, {}, v, reducer);
}

}  // namespace heddle::frontend
