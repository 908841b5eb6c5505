// peel L by n
//
//   for L in lo .. hi { S }
//     ->  for L in lo .. max(lo, hi - n) { S } ; for L@tail in max(lo, hi - n) .. hi { S@tail }
//
// The last n iterations, or as many as there are, become a loop of their own: the part `y@tail` of the nest, whose
// loops and temporaries are its own. Order stays, so nothing else is asked.
//
// Refused: L is not serial.
#include "ir/parts.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> peel_step(Step& step) {
  Program& p = step.program;
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  Path path = path_to_loop(p, *loop);
  Result<Done> serial = can_rewrite(step, path);
  if (!serial) return serial;
  const For l = loop_of(path);
  const Symbol symbol = p.symbol(*loop);
  // Without the facts: by them the maximum may go, and what they say of products is not at hand wherever `lo <= middle` is asked.
  Expr middle = simplify(ir::max(l.lo, l.hi - *n));

  SymbolId last = p.add(Symbol{symbol.name, SymbolKind::loop, ScalarType::index, symbol.owner, step.call.place});
  Part tail = copy_part(step.program, step.call.place, l.body, "tail", symbol.owner, {{*loop, var(last)}});
  p.symbols[last.value].owner = part_name(symbol.owner, tail.name);
  For first = l, rest{last, middle, l.hi, LoopKind::serial, {}, 0, std::move(tail.body)};
  first.hi = middle;
  replace(p, path.back(),
          {make_stmt(std::move(first), path.back()->place), make_stmt(std::move(rest), step.call.place)});
  step.relied_on("the order of iterations stays");
  return Done{};
}

}  // namespace heddle::schedule
