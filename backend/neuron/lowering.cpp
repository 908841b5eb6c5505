#include "backend/neuron/lowering.h"

#include "backend/neuron/print.h"

#include <charconv>
#include <cmath>

namespace heddle::neuron {

using namespace ir;

Expr BoundLoop::count() const { return extent(lo, hi); }

Expr extent(const Expr& lo, const Expr& hi) {
  if (const Binary* b = hi.as<Binary>(); b && b->op == BinaryOp::min)
    return min(extent(lo, b->left), extent(lo, b->right));
  if (const Binary* b = lo.as<Binary>(); b && b->op == BinaryOp::max)
    return min(extent(b->left, hi), extent(b->right, hi));
  return simplify(hi - lo);
}

std::string number_text(double v) {
  constexpr double greatest = 3.4028234663852886e38;  // infinities have no literal: the greatest f32 stands for them
  if (v > greatest) v = greatest;
  if (v < -greatest) v = -greatest;
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, static_cast<float>(v)).ptr;
  std::string out(buffer, end);
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

BlockScope::BlockScope(Lowering& l, Block* to)
    : lowering(l), before(l.out_), counts(l.counts_.size()), loaded(l.loaded_.size()) {
  l.out_ = to;
}
BlockScope::~BlockScope() {
  lowering.out_ = before;
  lowering.counts_.resize(counts);
  lowering.loaded_.resize(loaded);
}

Lowering::Lowering(const Program& program, const Core& core, const EmitOptions& options)
    : p_(prepared(program)), core_(core), options_(options), index_texts_(k_.index_texts) {
  k_.program = p_;
  names_ = words_of_python();
}

void Lowering::fail(const Code& code, std::string message, std::string help, Place at) {
  if (!failure_.empty()) return;
  Diagnostic d(code, at.known() ? at : place_, std::move(message));
  d.help = std::move(help);
  failure_.push_back(std::move(d));
}

Expr Lowering::simple(const Expr& e) const { return simplify(e, facts_); }

int64_t Lowering::bound_of(const Expr& named) {
  if (const int64_t* c = constant_value(named)) return *c;
  if (const Var* v = named.as<Var>())
    if (auto known = let_bounds_.find(v->symbol.value); known != let_bounds_.end()) return known->second;
  // Names stand for what they were made of.
  Expr count = named;
  for (auto it = counts_.rbegin(); it != counts_.rend(); ++it) count = substitute(count, {{it->second, it->first}});
  // A minimum is bounded by each of its sides.
  if (const Binary* b = count.as<Binary>(); b && b->op == BinaryOp::min) {
    const int64_t *l = constant_value(b->left), *r = constant_value(b->right);
    if (l && r) return std::min(*l, *r);
    int64_t bound = 0;
    int64_t known = l ? *l : r ? *r : INT64_MAX;
    if (constant_upper_bound(count, facts_, bound)) return std::min(known, bound);
    if (known != INT64_MAX) return known;
  }
  int64_t bound = 0;
  if (constant_upper_bound(count, facts_, bound)) return bound;
  fail(codes::no_form, "no constant bounds the extent `" + ir::print(k_.program, count) + "`");
  return 1;
}

Expr Lowering::counted(const Expr& count) {
  Expr e = simple(count);
  if (constant_value(e) || e.as<Var>()) return e;
  for (auto it = counts_.rbegin(); it != counts_.rend(); ++it)
    if (same(it->first, e)) return var(it->second);
  SymbolId name = new_symbol("n" + std::to_string(++serial_number_));
  out_->push_back({Let{name, e}, place_});
  let_bounds_[name.value] = bound_of(e);
  counts_.emplace_back(e, name);
  facts_.add(binary(BinaryOp::eq, var(name), e));
  return var(name);
}

SymbolId Lowering::new_symbol(const std::string& name) {
  Symbol s;
  s.name = name;
  s.kind = SymbolKind::local;
  return k_.program.add(std::move(s));
}

std::string Lowering::unique(std::string name) {
  std::string base;
  for (char c : name) base += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  std::string wanted = base;
  for (int n = 2; !names_.insert(wanted).second; ++n) wanted = base + "_" + std::to_string(n);
  return wanted;
}

TileId Lowering::make_tile(std::string name, ScalarType type, Space space, std::vector<int64_t> shape,
                           std::string role) {
  if (type_name(type).empty())
    fail(codes::no_type, "`" + std::string(scalar_type_name(type)) + "` has no form on a NeuronCore");
  Tile t;
  t.name = unique(std::move(name));
  t.type = type;
  t.space = space;
  t.shape = std::move(shape);
  t.role = std::move(role);
  t.place = place_;
  k_.tiles.push_back(std::move(t));
  return static_cast<TileId>(k_.tiles.size() - 1);
}

TileId Lowering::temporary(const std::string& hint, ScalarType type, Space space, int64_t partitions, int64_t frees) {
  std::string stage = leaf_ ? p_.stage(leaf_->stage).name : "t";
  if (partitions > core_.partitions)
    fail(codes::too_many_partitions,
         "a tile of `" + stage + "` would take " + std::to_string(partitions) + " partitions");
  if (space == Space::psum && frees * type_bytes(type) > core_.psum_bank_bytes)
    fail(codes::over_bank,
         "a tile of `" + stage + "` in PSUM would take " + std::to_string(frees * type_bytes(type)) +
             " bytes of a partition, a bank has " + std::to_string(core_.psum_bank_bytes),
         "split the loop over its columns by " + std::to_string(core_.psum_bank_bytes / 4) + " or less");
  TileId t = make_tile(stage + "_" + hint, type, space, {partitions, frees}, "a part of `" + stage + "`");
  out_->push_back({Make{t}, place_});
  return t;
}

View Lowering::whole(TileId tile, const Expr& partitions, const Expr& frees) {
  return {tile, {{index_constant(0), partitions}, {index_constant(0), frees}}};
}

void Lowering::emit(std::string name, std::vector<Argument> arguments) {
  out_->push_back({Instruction{std::move(name), std::move(arguments)}, place_});
}

// The Scalar engine copies, multiplies by and adds a number; before v3 copies and multiples are its activation `copy`. False: refused.
bool Lowering::on_scalar(std::string& name, std::vector<Argument>& arguments) {
  if ((name == "tensor_copy" && core_.version >= 3) || name == "tensor_copy_predicated") return true;
  std::string op;
  for (const Argument& a : arguments)
    if (a.keyword == "op0" || a.keyword == "op") op = std::get<std::string>(a.value);
  if (name == "tensor_scalar" && (op == "nl.multiply" || op == "nl.add") && core_.version >= 3) return true;
  if (name == "tensor_copy" || (name == "tensor_scalar" && op == "nl.multiply")) {
    std::vector<Argument> made = {
        {"dst", arguments[0].value}, {"op", std::string("nl.copy")}, {"data", arguments[1].value}};
    if (name == "tensor_scalar") made.push_back({"scale", arguments[3].value});
    name = "activation";
    arguments = std::move(made);
    return true;
  }
  fail(codes::engine_reach,
       "the Scalar engine of `" + std::string(core_.name) + "` has no `" + name + "`" +
           (op.empty() ? "" : " with `" + op + "`"),
       "bind what copies or multiplies by a number to `scalar`, or leave the engine to the compiler");
  return false;
}

void Lowering::emit_engine(std::string name, std::vector<Argument> arguments) {
  if (!engine_.empty()) {
    if (engine_ == "gpsimd")
      for (const Argument& a : arguments)
        if (auto* v = std::get_if<View>(&a.value); v && k_.tiles[v->tile].space == Space::psum) {
          const Tile& t = k_.tiles[v->tile];
          fail(codes::engine_reach, "`" + t.name + "` is in PSUM, which GpSimd cannot reach",
               "copy it to SBUF by another engine first, or leave the engine to the compiler");
        }
    // `basic` leaves engines to the vendor's compiler: the keyword is none of its words.
    if (basic()) return emit(std::move(name), std::move(arguments));
    if (engine_ == "scalar" && !on_scalar(name, arguments)) return;
    if (name == "tensor_tensor" || name == "tensor_scalar" || name == "tensor_copy" || name == "memset" ||
        name == "tensor_reduce")
      arguments.push_back({"engine", "nisa.engine." + engine_});
  }
  emit(std::move(name), std::move(arguments));
}

void Lowering::remark(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  out_->push_back({Remark{std::move(text)}, place_});
}

void Lowering::push_loop(SymbolId symbol, Expr lo, Expr hi, const std::function<void()>& inside, bool to_device) {
  Facts before = facts_;
  facts_.add_range(symbol, lo, hi);
  serial_.push_back(symbol);
  Loop loop{symbol, lo, hi, {}, to_device};
  {
    BlockScope scope(*this, &loop.body);
    inside();
  }
  serial_.pop_back();
  facts_ = std::move(before);
  if (!loop.body.empty()) out_->push_back({std::move(loop), place_});
}

void Lowering::in_pieces(const Expr& n, int64_t most,
                         const std::function<void(const Expr& at, const Expr& count)>& piece) {
  if (bound_of(n) <= most) return piece(index_constant(0), n);
  const SymbolId t = new_symbol("t");
  const Expr step = index_constant(most);
  push_loop(t, index_constant(0), simple(ceildiv(n, step)),
            [&] { piece(var(t) * most, counted(min(step, n - var(t) * most))); });
}

std::string Lowering::loop_name(SymbolId loop) const {
  const Symbol& s = k_.program.symbol(loop);
  return s.owner.empty() ? s.name : s.owner + "." + s.name;
}

}  // namespace heddle::neuron
