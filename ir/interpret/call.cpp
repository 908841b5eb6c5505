// Calls of instructions: their meaning runs as ordinary code on the windows of the call.
#include "ir/interpret/run.h"

namespace heddle::ir::interpreter {

// Views of the operands and the values of their dims: windows that share a dim agree.
template <class M>
bool Runner<M>::bind_operands(const CallCode<M>& c) {
  const Instr& row = *c.instr->row;
  m_.views.assign(c.windows.size(), {});
  std::vector<uint32_t> bound;
  auto wrong = [&](size_t operand, const std::string& what) {
    m_.fail(codes::wrong_window, "the window of `" + m_.name_of(c.windows[operand].buffer) + "` for `" +
                                     row.operands[operand].name + "` " + what);
    return false;
  };
  for (size_t i = 0; i < c.windows.size(); ++i) {
    View<M>& view = m_.views[i];
    view.buffer = c.windows[i].buffer;
    view.in = m_.current[view.buffer.value];
    if (!view.in) return wrong(i, "is used outside its alloc");
    view.point = c.windows[i].point;
    for (size_t d = 0, own = 0; d < c.windows[i].ranges.size(); ++d) {
      const int64_t lo = evaluate(c.windows[i].ranges[d].lo);
      const int64_t hi = std::min(evaluate(c.windows[i].ranges[d].hi), view.in->lo[d] + view.in->extent[d]);
      if (m_.failed()) return false;
      if (lo < view.in->lo[d] && lo < hi) return wrong(i, "begins below the box of the buffer");
      const int64_t extent = lo < hi ? hi - lo : 0;
      view.lo.push_back(lo);
      view.extent.push_back(extent);
      if (view.point[d]) continue;
      const std::string dim = m_.program.symbol(row.operands[i].dims[own]).name;
      const int64_t most = own < row.operands[i].max_extents.size() ? row.operands[i].max_extents[own] : 0;
      if (most > 0 && extent > most)
        return wrong(i, "has " + dim + " = " + std::to_string(extent) + ", more than " + std::to_string(most));
      if (c.windows[i].max_extents[d] > 0 && extent > c.windows[i].max_extents[d])
        return wrong(i, "is wider than the " + std::to_string(c.windows[i].max_extents[d]) + " that it says");
      const uint32_t slot = row.operands[i].dims[own++].value;
      const bool again = std::find(bound.begin(), bound.end(), slot) != bound.end();
      if (again && m_.index(SymbolId{slot}) != extent)
        return wrong(i, "has " + dim + " = " + std::to_string(extent) + ", another operand has " +
                            std::to_string(m_.index(SymbolId{slot})));
      m_.set_index(slot, extent);
      bound.push_back(slot);
    }
  }
  return true;
}

template <class M>
void Runner<M>::run_line(const InstrLineCode<M>& line) {
  View<M>& view = m_.views[line.operand];
  each_point(line.axes, 0, [&] {
    const auto at = line.subs.locate(m_, view);
    if (at.cell < 0)
      return m_.fail(codes::outside_box,
                     "the instruction writes outside the window of `" + m_.name_of(view.buffer) + "`");
    const Cell<M> value = line.value(m_);
    if (m_.failed()) return;
    if (line.combiner) return combine(view.buffer, *view.in, at.cell, value, *line.combiner, true);
    m_.write(view.buffer, *view.in, at.cell, value, AssignKind::define, true);
  });
}

template <class M>
void Runner<M>::stmt(const CallCode<M>& c, const Lanes<M>& lanes) {
  // An instruction is one step of one lane: a vector loop around it issues it once for each.
  for (const Lane<M>* lane : lanes) {
    activate(*lane);
    if (!m_.count_leaf() || !bind_operands(c)) return;
    for (const InstrLineCode<M>& line : c.instr->lines) {
      run_line(line);
      if (m_.failed()) return;
    }
  }
}

template void Runner<Typed>::stmt(const CallCode<Typed>&, const Lanes<Typed>&);
template void Runner<BoundedMode>::stmt(const CallCode<BoundedMode>&, const Lanes<BoundedMode>&);

}  // namespace heddle::ir::interpreter
