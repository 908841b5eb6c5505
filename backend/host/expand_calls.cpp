// See passes.h. Coordinates of an instruction count from its windows' corners, so each line becomes a stage with one axis more for
// every window coordinate, bound to where the window begins.
#include "backend/host/instr_rows.h"
#include "backend/host/passes.h"
#include "backend/host/tiles.h"
#include "ir/region.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::Body;
using ir::Expr;
using ir::StmtRef;

namespace {

class ExpandCalls {
 public:
  ExpandCalls(ir::Program& p, const ir::Target& target) : p_(p), target_(target), tiles_(plan_tiles(p, target)) {}

  void run() {
    p_.body = body(p_.body);
    if (!tiles_.empty()) return;
    for (ir::Buffer& b : p_.buffers)  // without tile registers they are memory as any
      if (b.memory == ir::Memory::tile) b.memory = ir::Memory::l1;
  }

 private:
  Body body(const Body& list) {
    Body out;
    for (const StmtRef& s : list) {
      if (const auto* call = std::get_if<ir::Call>(&s->form); call && !stays(*call)) {
        const Body lines = expand(*call, s->place);
        out.insert(out.end(), lines.begin(), lines.end());
        continue;
      }
      const bool loop = std::holds_alternative<ir::For>(s->form);
      if (loop) loops_.push_back(s);
      const Body& below = ir::children(s);
      out.push_back(below.empty() ? s : ir::with_children(s, body(below)));
      if (loop) loops_.pop_back();
    }
    return out;
  }

  // Machine code as it stands; of instructions in tiles all or none.
  bool stays(const ir::Call& call) const {
    const InstrRow* row = spelled(p_, *p_.instr(call.instr), target_);
    return row && is_machine_code(p_, call, target_) && (!row->in_tiles() || !tiles_.empty());
  }

  // Extents of the instruction's dims: of the windows, clipped to the boxes of their buffers.
  ir::Substitution extents(const ir::Call& call, const ir::Instr& instr) const {
    const ir::Facts facts = ir::facts_at(p_, loops_);
    ir::Substitution out;
    for (size_t i = 0; i < call.windows.size(); ++i)
      for (size_t d = 0, own = 0; d < call.windows[i].ranges.size(); ++d) {
        const ir::Range& r = call.windows[i].ranges[d];
        if (r.point) continue;
        const ir::SymbolId dim = instr.operands[i].dims[own++];
        const Expr& end = p_.buffer(call.windows[i].buffer).box[d].hi;
        const Expr hi = ir::prove(facts, ir::less_equal(r.hi, end)) ? r.hi : ir::min(r.hi, end);
        bool known = false;
        for (const auto& [symbol, e] : out) known |= symbol == dim;
        if (!known) out.emplace_back(dim, ir::simplify(hi - r.lo));
      }
    return out;
  }

  ir::Axis base_axis(const std::string& name, const ir::Window& window, size_t d) {
    const ir::BoxDim& box = p_.buffer(window.buffer).box[d];
    ir::Axis axis;
    axis.symbol = p_.add(ir::Symbol{name + std::to_string(d), ir::SymbolKind::axis});
    axis.lo = box.lo;
    axis.hi = box.hi + 1;
    return axis;
  }

  Body expand(const ir::Call& call, const Place& place) {
    const ir::Instr instr = *p_.instr(call.instr);
    const ir::Substitution dims = extents(call, instr);
    Body out;
    for (const ir::InstrLine& line : instr.lines) out.push_back(nest(call, instr, line, dims, place));
    return out;
  }

  StmtRef nest(const ir::Call& call, const ir::Instr& instr, const ir::InstrLine& line, const ir::Substitution& dims,
               const Place& place) {
    ir::Stage stage;
    stage.name = instr.name;
    stage.reducer = line.reducer;
    stage.writes = {call.windows[static_cast<size_t>(line.operand)].buffer};
    stage.place = place;
    ir::Leaf leaf;
    leaf.reducer = line.reducer;
    std::vector<std::vector<Expr>> corners(call.windows.size());
    for (size_t i = 0; i < call.windows.size(); ++i)
      for (size_t d = 0; d < call.windows[i].ranges.size(); ++d) {
        ir::Axis axis = base_axis(instr.operands[i].name, call.windows[i], d);
        corners[i].push_back(ir::var(axis.symbol));
        leaf.bindings.push_back(call.windows[i].ranges[d].lo);
        stage.axes.push_back(std::move(axis));
      }
    std::vector<ir::For> loops;
    ir::Substitution at = dims;
    for (const ir::Axis& own : line.axes) {
      ir::For loop;
      loop.loop =
          p_.add(ir::Symbol{p_.symbol(own.symbol).name, ir::SymbolKind::loop, ir::ScalarType::index, instr.name});
      loop.lo = ir::substitute(own.lo, at);
      loop.hi = ir::substitute(own.hi, at);
      at.emplace_back(own.symbol, ir::var(loop.loop));
      ir::Axis axis = own;
      axis.lo = loop.lo;
      axis.hi = loop.hi;
      stage.axes.push_back(axis);
      leaf.bindings.push_back(ir::var(loop.loop));
      loops.push_back(std::move(loop));
    }
    auto moved = [&](size_t operand, const std::vector<Expr>& subs) {
      std::vector<Expr> out = corners[operand];
      const std::vector<size_t> dims = ir::operand_dims(call.windows[operand]);
      for (size_t d = 0; d < subs.size(); ++d) out[dims[d]] = out[dims[d]] + subs[d];
      return out;
    };
    ir::Assign assign;
    assign.buffer = call.windows[static_cast<size_t>(line.operand)].buffer;
    assign.kind = line.reducer.empty() ? ir::AssignKind::define : ir::AssignKind::combine;
    assign.subs = moved(static_cast<size_t>(line.operand), line.subs);
    assign.value = ir::rewrite(line.value, [&](const Expr& e) {
      const auto* l = e.as<ir::Load>();
      return l ? ir::load(e.type(), call.windows[l->buffer.value].buffer, moved(l->buffer.value, l->subs), l->otherwise)
               : e;
    });
    leaf.assigns = {std::move(assign)};
    leaf.stage = p_.add(std::move(stage));
    StmtRef inner = ir::make_stmt(std::move(leaf), place);
    for (auto loop = loops.rbegin(); loop != loops.rend(); ++loop) {
      loop->body = {inner};
      inner = ir::make_stmt(std::move(*loop), place);
    }
    return inner;
  }

  ir::Program& p_;
  const ir::Target& target_;
  const TilePlan tiles_;
  std::vector<StmtRef> loops_;
};

}  // namespace

ir::Program expand_calls(ir::Program program, const ir::Target& target) {
  ExpandCalls(program, target).run();
  return program;
}

}  // namespace heddle::host
