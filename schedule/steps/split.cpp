// split L by n [into o, i] [with guard|exact|peel|shift]
//
//   for L in lo .. hi { S }
//     ->  for o in 0 .. ceildiv(hi - lo, n) { for i in 0 .. n { S[L := lo + n*o + i] where lo + n*o + i < hi } }
//
// The condition goes to the leaves below; there is none where n is shown to divide hi - lo, and then the outer loop has
// (hi - lo)/n iterations. A window of a reduction that a new iteration would reset is cut to nothing unless it lies
// outside its buffer.
//
//   with peel:  for o in 0 .. (hi - lo)/n { for i in 0 .. n { S[L := lo + n*o + i] } }
//               for i@tail in 0 .. (hi - lo)%n { S@tail[L := lo + (hi - lo)/n*n + i@tail] }
//
//   with shift: for o in 0 .. ceildiv(hi - lo, n) { for i in 0 .. n { S[L := lo + min(n*o, hi - lo - n) + i] recomputed } }
//               the last block begins early enough to be whole; where hi - lo >= n is not shown, it begins at least at
//               lo, and a condition stays at the leaves
//
// Refused: a block of more than 2^40 along an axis, an axis of more than 48 loops; L is not serial; a name is taken; `exact` where divisibility cannot be shown; an instruction below a partial
// block; `shift` where iterations cannot run twice: an update in place, an open reduction, a scan, cells that other
// iterations write.
#include "schedule/loops.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

Result<Done> split_step(Step& step) {
  Result<SymbolId> loop = find_loop(step, step.call.operands[0]);
  if (!loop) return loop.errors();
  Result<int64_t> n = integer_after(step, "by", 1);
  if (!n) return n.errors();
  const std::string base = step.program.symbol(*loop).name;
  Result<std::vector<std::string>> names = names_after(step, "into", {base + "o", base + "i"});
  if (!names) return names.errors();
  Tail tail = Tail::guard;
  if (has(step.call, "with")) {
    const Term& word = step.call.with.at("with")[0];
    if (word.text == "exact") tail = Tail::exact;
    else if (word.text == "peel") tail = Tail::peel;
    else if (word.text == "shift") tail = Tail::shift;
    else if (word.text != "guard")
      return Diagnostic(codes::wrong_operands, word.place, "there is no tail `" + word.text + "`")
          .with_help("the tails are `guard`, `exact`, `peel` and `shift`");
  }
  Result<SplitLoops> made = split_loop(step, *loop, *n, (*names)[0], (*names)[1], tail);
  if (!made) return made.errors();
  return Done{};
}

}  // namespace heddle::schedule
