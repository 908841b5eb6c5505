// Expressions. Lazy forms are branches where the condition is the same for all lanes, masks where it is not.
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include "backend/host/codes.h"
#include "backend/host/emitter.h"
#include "backend/host/passes.h"
#include "ir/random.h"
#include "ir/visit.h"

namespace heddle::host {

using ir::BinaryOp;
using ir::ScalarType;
using llvm::Value;

namespace {

// Cheap, and safe to evaluate when it is not chosen.
bool plain(const ir::Expr& e) {
  int nodes = 0;
  bool fits = true;
  ir::walk(e, [&](const ir::Expr& node) {
    if (node.as<ir::Load>() || node.as<ir::StateField>() || node.as<ir::MathCall>() || ++nodes > 16) fits = false;
    return fits;
  });
  return fits;
}

// A load, or a scalar or other value of a data type.
bool from_data(const ir::Expr& e) {
  bool found = false;
  ir::walk(e, [&](const ir::Expr& node) {
    found |= node.as<ir::Load>() || node.as<ir::Convert>() || ir::is_integer(node.type());
    return !found;
  });
  return found;
}

}  // namespace

Val Emitter::value(const Expr& e) {
  // Trees share parts: each is computed once in a scope of control.
  for (auto scope = known_.rbegin(); scope != known_.rend(); ++scope)
    if (auto at = scope->find(&e.node()); at != scope->end()) return at->second.second;
  Val out = compute(e);
  if (!known_.empty() && !e.as<ir::Constant>() && !e.as<ir::Var>()) known_.back().emplace(&e.node(), std::pair{e, out});
  return out;
}

Val Emitter::compute(const Expr& e) {
  return std::visit([&](const auto& f) { return form(e, f); }, e->form);
}

bool Emitter::depends_on_lane(const Expr& e) const {
  return arith_.width > 1 && vector_.known() && ir::mentions(e, vector_);
}

Val Emitter::form(const Expr& e, const ir::Constant& c) { return arith_.constant(e.type(), c); }

Val Emitter::form(const Expr&, const ir::Var& v) {
  if (arith_.width > 1 && v.symbol == vector_) return {arith_.iota(b_.getInt64Ty(), vector_lo_), true};
  if (auto at = f_.symbols.find(v.symbol.value); at != f_.symbols.end()) return at->second;
  return argument(v.symbol);
}

Val Emitter::form(const Expr& e, const ir::Load& l) {
  if (Val carried; !carried_.empty() && read_carried(e, carried)) return carried;
  if (!l.otherwise.known()) return load(l.buffer, l.subs);
  const auto& box = p_.buffer(l.buffer).box;
  Expr inside = ir::bool_constant(true);
  for (size_t i = 0; i < l.subs.size(); ++i)
    for (const Expr& c : {ir::less_equal(box[i].lo, l.subs[i]), ir::less(l.subs[i], box[i].hi)}) {
      const int known = ranges_.decide(c);
      if (known == 0) return value(l.otherwise);
      if (known < 0) inside = ir::both(inside, c);
    }
  if (ir::is_constant(inside, 1)) return load(l.buffer, l.subs);
  return choose(
      condition(inside), false, e.type(), [&] { return load(l.buffer, l.subs); }, [&] { return value(l.otherwise); });
}

Val Emitter::form(const Expr& e, const ir::StateField& f) {
  if (!state_) return fail(codes::broken_code, {}, "a field of a state outside a combine block", e.type());
  if (f.side == 1 && !state_->right.empty()) return state_->right[static_cast<size_t>(f.field)];
  if (f.subs.empty() && f.side == 0) return state_->before[static_cast<size_t>(f.field)];
  if (f.subs.empty() && f.side == 2) return state_->after[static_cast<size_t>(f.field)];
  const ir::Assign& a = *state_->fields[static_cast<size_t>(f.field)];
  ir::Substitution at = state_->point;
  for (size_t i = 0; i < f.subs.size(); ++i) at.emplace_back(a.over[i].symbol, f.subs[i]);
  if (f.side == 1) return value(ir::substitute(a.value, at));
  std::vector<Expr> subs;
  for (const Expr& sub : a.subs) subs.push_back(ir::substitute(sub, at));
  return load(a.buffer, subs);
}

Val Emitter::form(const Expr& e, const ir::Unary& u) { return arith_.unary(u.op, e.type(), value(u.value)); }

Val Emitter::form(const Expr& e, const ir::Binary& b) {
  if (b.op != BinaryOp::logical_and && b.op != BinaryOp::logical_or) {
    if (Val out; e.type() == ScalarType::boolean && lane_compare(b, out)) return out;
    if (b.op == BinaryOp::ceildiv)
      if (const int64_t* d = ir::constant_value(b.right); d && *d > 0)
        return arith_.binary(BinaryOp::div, b.left.type(), value(b.left + (*d - 1)), arith_.index(*d));
    Val left = value(b.left), right = value(b.right);
    const bool wide = target_.has_masks && arith_.width % 16 == 0;
    if (wide && b.op == BinaryOp::div && e.type() == ScalarType::f32 && left.lanes && !right.lanes)
      return divide_by_uniform(left, right);
    return arith_.binary(b.op, b.left.type(), left, right);
  }
  const bool both = b.op == BinaryOp::logical_and;
  if (plain(b.right)) return arith_.binary(b.op, ScalarType::boolean, value(b.left), value(b.right));
  Val decided = arith_.constant(ScalarType::boolean, {both ? 0 : 1, 0});
  auto right = [&] { return value(b.right); };
  auto known = [&] { return decided; };
  Val left = value(b.left);
  return both ? choose(left, false, e.type(), right, known) : choose(left, false, e.type(), known, right);
}

Val Emitter::form(const Expr& e, const ir::Select& s) {
  if (const int known = ranges_.decide(s.condition); known >= 0) return value(known ? s.yes : s.no);
  return choose(
      condition(s.condition), plain(s.yes) && plain(s.no), e.type(), [&] { return value(s.yes); },
      [&] { return value(s.no); });
}

// What a cell holds after a value has been combined into it.
Val Emitter::combined_with(const ir::Reducer& reducer, ir::BufferId buffer, const std::vector<Expr>& subs,
                           const Expr& made) {
  const ir::ScalarType type = p_.buffer(buffer).type;
  const auto* choice = made.as<ir::Select>();
  if (choice && arith_.width > 1 && plain(choice->yes) && is_identity(choice->no, reducer.builtin)) {
    // One masked instruction, without a vector of identities.
    Val before = load(buffer, subs), chosen = condition(choice->condition), x = value(choice->yes);
    return arith_.select(chosen, arith_.combine(reducer.builtin, type, before, x), before);
  }
  Val x = value(made);
  return arith_.combine(reducer.builtin, type, load(buffer, subs), x);
}

Val Emitter::form(const Expr& e, const ir::MathCall& m) {
  if (m.function == ir::random_function) return arith_.random(value(m.args[0]), value(m.args[1]));
  const ir::MathRow* row = ir::find_math(m.function);
  if (!row) return fail(codes::unsupported_on_host, {}, "`" + m.function + "` has no machine code yet", e.type());
  Val x = value(m.args[0]);
  return arith_.math(row->op, e.type(), x, m.args.size() > 1 ? value(m.args[1]) : x);
}

Val Emitter::form(const Expr& e, const ir::Convert& c) {
  return arith_.convert(c.mode, e.type(), c.value.type(), value(c.value));
}

// ---------------------------------------------------------------------------------------------------------------------

Val Emitter::under(Val condition, const std::function<Val()>& work) {
  Value* outer = mask_;
  mask_ = mask_ ? b_.CreateAnd(mask_, condition.v) : condition.v;
  known_.emplace_back();
  Val out = work();
  known_.pop_back();
  mask_ = outer;
  return out;
}

// `plain_arms`: cheap, without reads: both are evaluated.
Val Emitter::choose(Val condition, bool plain_arms, ScalarType type, const std::function<Val()>& yes,
                    const std::function<Val()>& no) {
  if (plain_arms) {
    Val a = yes(), b = no();
    return arith_.select(condition, a, b);
  }
  if (condition.lanes) {
    Val a = under(condition, yes);
    Val b = under({b_.CreateNot(condition.v), true}, no);
    return arith_.select(condition, a, b);
  }
  llvm::LLVMContext& c = module_.getContext();
  llvm::BasicBlock* blocks[] = {llvm::BasicBlock::Create(c, "then", f_.fn), llvm::BasicBlock::Create(c, "else", f_.fn)};
  auto* after = llvm::BasicBlock::Create(c, "chosen", f_.fn);
  b_.CreateCondBr(condition.v, blocks[0], blocks[1]);
  Val arms[2];
  llvm::Instruction* jumps[2];
  for (int i = 0; i < 2; ++i) {
    b_.SetInsertPoint(blocks[i]);
    known_.emplace_back();
    arms[i] = (i == 0 ? yes : no)();
    known_.pop_back();
    jumps[i] = b_.CreateBr(after);
  }
  const bool lanes = arms[0].lanes || arms[1].lanes;
  for (int i = 0; i < 2; ++i) {
    if (arms[i].lanes == lanes) continue;
    b_.SetInsertPoint(jumps[i]);
    arms[i] = {arith_.spread(arms[i]), true};
  }
  b_.SetInsertPoint(after);
  llvm::PHINode* out = b_.CreatePHI(arith_.with_lanes(arith_.value_type(type), lanes), 2);
  for (int i = 0; i < 2; ++i) out->addIncoming(arms[i].v, jumps[i]->getParent());
  return {out, lanes};
}

// x / d for one d: a 512-bit division takes 16 cycles, a product and two fused ones 2. With z = 1/d rounded, q = x*z, r = x - q*d
// (exact), the sum q + r*z is the correctly rounded quotient (Markstein), as long as nothing leaves the range of normal numbers.
// That is tested for each vector; one that may leave it is divided as written.
Val Emitter::divide_by_uniform(Val x, Val d) {
  llvm::LLVMContext& c = module_.getContext();
  llvm::Type* f32 = b_.getFloatTy();
  auto bits_of = [](int exponent) { return static_cast<uint64_t>(127 + exponent) << 23; };
  Value* one = llvm::ConstantFP::get(f32, 1.0);
  Value* z = b_.CreateFDiv(one, d.v);
  Value* fits = b_.CreateAnd(b_.CreateFCmpOGE(d.v, llvm::ConstantFP::get(f32, 0x1p-26)),
                             b_.CreateFCmpOLE(d.v, llvm::ConstantFP::get(f32, 0x1p26)));
  llvm::Type* lanes = arith_.with_lanes(b_.getInt32Ty(), true);
  auto all = [&](uint64_t value) { return llvm::ConstantInt::get(lanes, value); };
  Value* bits = b_.CreateBitCast(x.v, lanes);
  Value* above = b_.CreateSub(b_.CreateAnd(bits, all(0x7fffffff)), all(bits_of(-100)));
  Value* inside =
      b_.CreateOr(b_.CreateICmpULE(above, all(bits_of(100) - bits_of(-100))), b_.CreateICmpEQ(bits, all(0)));
  fits = b_.CreateAnd(fits, b_.CreateAndReduce(inside));

  auto* fast = llvm::BasicBlock::Create(c, "multiply", f_.fn);
  auto* slow = llvm::BasicBlock::Create(c, "divide", f_.fn);
  auto* after = llvm::BasicBlock::Create(c, "quotient", f_.fn);
  b_.CreateCondBr(fits, fast, slow, llvm::MDBuilder(c).createLikelyBranchWeights());
  b_.SetInsertPoint(fast);
  Value *zs = arith_.spread({z}), *ds = arith_.spread(d);
  Value* q = b_.CreateFMul(x.v, zs);
  Value* r = b_.CreateIntrinsic(llvm::Intrinsic::fma, {q->getType()}, {b_.CreateFNeg(q), ds, x.v});
  Value* quick = b_.CreateIntrinsic(llvm::Intrinsic::fma, {q->getType()}, {r, zs, q});
  b_.CreateBr(after);
  b_.SetInsertPoint(slow);
  Value* exact = b_.CreateFDiv(x.v, arith_.spread(d));
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  llvm::PHINode* out = b_.CreatePHI(q->getType(), 2);
  out->addIncoming(quick, fast);
  out->addIncoming(exact, slow);
  return {out, true};
}

Val Emitter::condition(const Expr& e) {
  if (const int known = ranges_.decide(e); known >= 0) return arith_.constant(ScalarType::boolean, {known, 0});
  return value(e);
}

// `lane < n` as one compare of small lanes: n is clamped to 0 .. width first, so that it fits.
bool Emitter::lane_compare(const ir::Binary& c, Val& out) {
  if (c.op < BinaryOp::lt || c.left.type() != ScalarType::index || arith_.width == 1) return false;
  RangedContext ranged(ranges_);
  ir::AffineContext& context = ranged.context;
  const bool swap = c.op == BinaryOp::gt || c.op == BinaryOp::ge;  // left > right is right < left
  ir::Affine d = difference(context.convert(swap ? c.right : c.left), context.convert(swap ? c.left : c.right));
  if (!d.ok) return false;
  ir::Affine rest(d.constant);
  int64_t coefficient = 0;
  for (const ir::AffineTerm& t : d.terms) {
    ir::Affine one;
    one.terms.push_back(t);
    if (!context.mentions(one, vector_)) {
      // Data may be any number: the sum below would wrap.
      for (int place = 0; place < 4 && ir::factor(t.m, place); ++place)
        if (from_data(context.rebuild(ir::Affine::of(ir::factor(t.m, place))))) return false;
      rest.terms.push_back(t);
      continue;
    }
    const ir::Atom& atom = context.atom(ir::factor(t.m, 0));
    if (!ir::is_linear(t.m) || atom.kind != ir::Atom::Kind::symbol || (t.c != 1 && t.c != -1)) return false;
    coefficient = t.c;
  }
  if (coefficient == 0) return false;
  // c*v + rest < 0 (or <= 0), v = first + lane
  rest.add(coefficient * vector_lo_);
  if (c.op == BinaryOp::le || c.op == BinaryOp::ge) rest.add(-1);
  ir::Affine bound = rest;
  if (coefficient == 1) bound.scale(-1);  // lane < -rest
  else bound.add(1);                      // lane >= rest + 1
  Value* n = affine(context, bound);
  n = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, n, b_.getInt64(0));
  n = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, n, b_.getInt64(static_cast<uint64_t>(arith_.width)));
  llvm::Type* small = arith_.width <= 16 ? b_.getInt32Ty() : arith_.width <= 64 ? b_.getInt8Ty() : b_.getInt16Ty();
  Value* limit = arith_.spread({b_.CreateTrunc(n, small)});
  Value* lane = arith_.iota(small, 0);
  out = {coefficient == 1 ? b_.CreateICmpULT(lane, limit) : b_.CreateICmpUGE(lane, limit), true};
  return true;
}

}  // namespace heddle::host
