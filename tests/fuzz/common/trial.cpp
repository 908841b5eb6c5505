#include "tests/fuzz/common/trial.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "api/impl.h"
#include "api/machine.h"
#include "frontend/module.h"
#include "frontend/parse.h"
#include "frontend/program_text.h"
#include "ir/float_format.h"
#include "ir/op.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "schedule/resolve.h"
#include "tests/fuzz/common/step_generator.h"
#include "tests/fuzz/common/zero_signs.h"

namespace heddle::fuzz {
namespace {

uint64_t bits_of(const unsigned char* data, ir::ScalarType type, int64_t i) {
  uint64_t bits = 0;
  const int bytes = ir::scalar_bytes(type);
  std::memcpy(&bits, data + i * bytes, static_cast<size_t>(bytes));
  return bits;
}

double real_of(const unsigned char* data, ir::ScalarType type, int64_t i) {
  const uint64_t bits = bits_of(data, type, i);
  if (ir::is_float(type)) return ir::decode_float(type, bits);
  const int shift = 64 - 8 * ir::scalar_bytes(type);
  const bool is_signed = ir::scalar_row(type).cls == ir::ScalarClass::signed_integer;
  return is_signed ? static_cast<double>(static_cast<int64_t>(bits << shift) >> shift) : static_cast<double>(bits);
}

// A run that takes longer tells nothing; the few programs that do are counted, not found.
constexpr int64_t most_leaves = 2'000'000;
bool too_long(const Diagnostics& errors) { return errors.front().code == "HD0270"; }
// By a check on data.
bool stopped(const Diagnostics& errors) { return errors.front().code == "HD0269"; }

Verdict not_run(const Diagnostics& errors, const ir::Program& program) {
  if (too_long(errors)) return {"unproved", render(errors)};
  return {"interpreter", "the program does not run:\n" + render(errors) + ir::print(program)};
}

std::string element(size_t array, int64_t i, double seen, double want) {
  return "element " + std::to_string(i) + " of written array " + std::to_string(array) + " is " + std::to_string(seen) +
         ", not " + std::to_string(want);
}

}  // namespace

Verdict Trial::make() {
  op_ = random_op(r_);
  Result<frontend::ast::Module> tree = frontend::parse(Source::make("random.hd", op_.text));
  if (!tree) return {"generator", "the op does not parse:\n" + render(tree.errors())};
  Result<frontend::Module> module = frontend::check_module(std::move(*tree));
  if (!module) return {"rejected", render(module.errors())};
  Result<ir::Op> op = frontend::instantiate(*module, "f", {});
  if (!op) return {"generator", "a checked op cannot be instantiated:\n" + render(op.errors())};
  canonical_ = ir::canonical(*op);
  canonical_.allow.reassociate = r_.chance(60);
  canonical_.allow.contract = r_.chance(15);
  given_.clear();
  if (!op_.schedule.empty()) {
    if (op_.long_schedule) canonical_.allow.reassociate = canonical_.allow.flush_denormals = r_.chance(90);
    const std::string text = op_.schedule_items + "schedule f.s on cpu {\n" + op_.schedule + "}";
    Result<frontend::Module> lines = frontend::read_module(Source::make("lines.hd", text), &*module);
    if (!lines) return {"generator", "the schedule does not parse:\n" + render(lines.errors())};
    Result<schedule::Resolved> flat = schedule::resolve(*lines->schedule("f", "s"), {}, api::session().host,
                                                        lines->steps, {&canonical_, &lines->schedules});
    if (!flat) return {"generator", "the schedule cannot be resolved:\n" + render(flat.errors())};
    for (schedule::FlatStep& s : flat->steps)
      given_.emplace_back(std::move(s.call), s.placed ? "apply" : s.expanded_from.empty() ? "" : "derived step");
  }
  module_ = *std::move(module);
  if (!make_arrays()) return {"rejected", "sizes that do not fit"};

  ir::InterpretOptions how;
  how.max_leaves = most_leaves / 40;  // steps may compute some cells again
  const bool spoilt = r_.chance(15) && spoil();
  Result<ir::InterpretResult> done = ir::interpret(canonical_, arguments(), how);
  if (!done && too_long(done.errors())) return {"rejected", render(done.errors())};
  if (spoilt && !done && stopped(done.errors())) {
    stops_ = true;
    return {};
  }
  if (!done)
    return {"canonical", "the canonical program does not run:\n" + render(done.errors()) + ir::print(canonical_)};
  expected_ = written();
  reset();
  how.mode = ir::InterpretMode::bounded;
  Result<ir::InterpretResult> bounded = ir::interpret(canonical_, arguments(), how);
  if (!bounded)
    return {"canonical", "the canonical program does not run in bounded mode:\n" + render(bounded.errors())};
  bounded_ = std::move(bounded->bounded);
  return {};
}

Result<schedule::State> Trial::random_step(const ir::Program& program, ir::StepCall& call, std::string* origin) {
  const bool given = !given_.empty() && !r_.chance(8);
  call = given ? given_.front().first : fuzz::random_step(program, op_.dims, r_);
  if (origin) *origin = given ? given_.front().second : "";
  if (given) given_.erase(given_.begin());
  return step(program, call);
}

Result<schedule::State> Trial::step(const ir::Program& program, const ir::StepCall& call) const {
  return schedule::apply_step({api::session().host, api::instr_table(module_)}, program, call);
}

int64_t Trial::value(const ir::Expr& e) const {
  if (const int64_t* c = ir::constant_value(e)) return *c;
  if (const auto* v = e.as<ir::Var>()) {
    auto at = dims_.find(v->symbol.value);
    return at == dims_.end() ? -1 : at->second;
  }
  const auto* b = e.as<ir::Binary>();
  if (!b) return -1;
  const ir::Expr folded = ir::binary(b->op, ir::index_constant(value(b->left)), ir::index_constant(value(b->right)));
  const int64_t* c = ir::constant_value(folded);
  return c ? *c : -1;
}

// One subscript, length or offset of the data becomes one that a check may stop; false where there is none.
bool Trial::spoil() {
  std::vector<size_t> able;
  size_t next = 0;
  for (const ir::Parameter& q : canonical_.parameters) {
    if (!q.buffer.known()) continue;
    auto how = op_.fills.find(canonical_.buffer(q.buffer).name);
    if (how != op_.fills.end() && how->second.kind != Fill::Kind::length && arrays_[next].count() > 0)
      able.push_back(next);
    ++next;
  }
  if (able.empty()) return false;
  const size_t which = r_.pick(able);
  const FencedArray& a = arrays_[which];
  const int64_t bad = r_.pick<int64_t>({-1, 40, int64_t{1} << 40, INT64_MIN, INT64_MAX});
  std::memcpy(before_[which].data() + a.place(r_.below(static_cast<int>(a.count()))) * 8, &bad, 8);
  reset();
  return true;
}

bool Trial::make_arrays() {
  for (const ir::DimDefinition& d : canonical_.dims) {
    auto given = op_.dims.find(canonical_.symbol(d.dim).name);
    dims_[d.dim.value] = given != op_.dims.end() ? given->second : d.value.known() ? value(d.value) : -1;
    if (dims_[d.dim.value] < 0) return false;
  }
  for (const ir::Parameter& q : canonical_.parameters) {
    if (!q.buffer.known()) {
      const double v = (r_.below(401) - 200) / 50.0;
      scalars_.push_back({v, static_cast<int64_t>(v)});
      continue;
    }
    const ir::Buffer& b = canonical_.buffer(q.buffer);
    std::vector<int64_t> extents;
    size_t next = 0;
    for (size_t axis = 0; axis < (b.groups.empty() ? b.box.size() : b.groups.size()); ++axis) {
      int64_t extent = 1;
      for (int part = b.groups.empty() ? 1 : b.groups[axis]; part-- > 0; ++next) {
        const int64_t one = value(b.box[next].hi);
        if (one < 0) return false;
        extent *= one;
      }
      extents.push_back(extent);
    }
    std::vector<int64_t> steps;
    for (size_t axis = r_.chance(20) ? 0 : extents.size(); axis < extents.size(); ++axis)
      steps.push_back(r_.chance(50) ? 0 : 1 + r_.below(3));
    FencedArray a(b.type, extents, r_.chance(60), steps);
    if (a.bytes() > (1u << 20)) return false;
    auto how = op_.fills.find(b.name);
    if (b.role != ir::Role::out) fill(a, how == op_.fills.end() ? nullptr : &how->second);
    if (b.role != ir::Role::in) written_.push_back(arrays_.size());
    before_.push_back(a.copy());
    arrays_.push_back(std::move(a));
  }
  return true;
}

void Trial::fill(FencedArray& a, const Fill* how) {
  const int bytes = ir::scalar_bytes(a.type());
  int64_t running = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    double v = (r_.below(4001) - 2000) / 500.0;
    if (r_.chance(1)) v = r_.pick({0.0, 1e30, -1e30, 1e-40, std::numeric_limits<double>::infinity(), std::nan("")});
    uint64_t bits = ir::is_float(a.type()) ? ir::encode_float(a.type(), v) : r_.next() >> (r_.chance(50) ? 0 : 58);
    if (a.type() == ir::ScalarType::boolean) bits &= 1;
    if (how) {
      const int64_t limit = op_.dims.at(how->dim);
      if (how->kind == Fill::Kind::index) bits = static_cast<uint64_t>(r_.below(static_cast<int>(limit)));
      if (how->kind == Fill::Kind::length) bits = static_cast<uint64_t>(r_.below(static_cast<int>(limit) + 3));
      if (how->kind == Fill::Kind::offsets) {
        running = std::min(limit, running + (i ? r_.below(5) : 0));
        bits = static_cast<uint64_t>(running);
      }
    }
    std::memcpy(a.data() + a.place(i) * bytes, &bits, static_cast<size_t>(bytes));
  }
}

ir::Arguments Trial::arguments() {
  ir::Arguments args;
  for (FencedArray& a : arrays_) args.arrays.push_back(a.ref());
  args.scalars = scalars_;
  return args;
}

// Every run begins with the same bytes; those of outputs are garbage.
void Trial::reset() {
  for (size_t i = 0; i < arrays_.size(); ++i) std::copy(before_[i].begin(), before_[i].end(), arrays_[i].data());
}

std::vector<std::vector<unsigned char>> Trial::written() {
  std::vector<std::vector<unsigned char>> out;
  for (size_t i : written_) out.push_back(arrays_[i].copy());
  return out;
}

// Whether an element of the `output`th written array depends on the sign of a zero that `max` or `min` gives: the canonical program gives it
// another value with other signs.
bool Trial::is_free(size_t output, int64_t element) {
  if (free_.empty()) {
    std::vector<std::vector<unsigned char>> now;
    for (const FencedArray& a : arrays_) now.push_back(a.copy());
    std::vector<std::vector<std::vector<unsigned char>>> answers;
    for (const uint64_t signs : signs_to_try) {
      reset();
      if (!ir::interpret(with_zeros_of_extrema(canonical_, signs), arguments())) reset();
      answers.push_back(written());
    }
    for (size_t o = 0; o < written_.size(); ++o) {
      const FencedArray& a = arrays_[written_[o]];
      std::vector<bool>& list = free_.emplace_back();
      for (int64_t i = 0; i < a.count(); ++i)
        list.push_back(std::any_of(answers.begin() + 1, answers.end(), [&](const auto& answer) {
          return bits_of(answer[o].data(), a.type(), a.place(i)) != bits_of(answers[0][o].data(), a.type(), a.place(i));
        }));
    }
    for (size_t i = 0; i < arrays_.size(); ++i) std::copy(now[i].begin(), now[i].end(), arrays_[i].data());
  }
  return free_[output][static_cast<size_t>(element)];
}

// The same numbers: bit by bit, NaN payloads, the sign of zero and what is free aside.
std::string Trial::differs(const std::vector<std::vector<unsigned char>>& want) {
  for (size_t o = 0; o < written_.size(); ++o) {
    const FencedArray& a = arrays_[written_[o]];
    for (int64_t i = 0; i < a.count(); ++i) {
      const int64_t at = a.place(i);
      if (bits_of(want[o].data(), a.type(), at) == bits_of(a.data(), a.type(), at)) continue;
      const double x = real_of(want[o].data(), a.type(), at), y = real_of(a.data(), a.type(), at);
      if (ir::is_float(a.type()) && (x == y || (std::isnan(x) && std::isnan(y)))) continue;
      if (is_free(o, i)) continue;
      return element(o, i, y, x);
    }
  }
  return "";
}

std::string Trial::outside() {
  for (size_t o = 0; o < written_.size(); ++o) {
    const FencedArray& a = arrays_[written_[o]];
    for (int64_t i = 0; i < a.count(); ++i) {
      const double x = bounded_[o].value[i], y = real_of(a.data(), a.type(), a.place(i));
      double bound = bounded_[o].bound[i];
      // Whole numbers of 64 bits are rounded where they become f64 here.
      if (bound > 0 && !ir::is_float(a.type()) && ir::scalar_bytes(a.type()) == 8) bound += std::abs(x) * 0x1p-51;
      if (std::isnan(x) || !std::isfinite(bound) || std::abs(x - y) <= bound || x == y) continue;
      if (is_free(o, i)) continue;
      return element(o, i, y, x) + " +- " + std::to_string(bound);
    }
  }
  return "";
}

// Also between the elements of what is written.
std::string Trial::input_changed() const {
  for (size_t i = 0; i < arrays_.size(); ++i) {
    const FencedArray& a = arrays_[i];
    const size_t bytes = static_cast<size_t>(ir::scalar_bytes(a.type()));
    std::vector<unsigned char> now = a.copy();
    if (std::find(written_.begin(), written_.end(), i) == written_.end()) {
      if (now != before_[i]) return "input " + std::to_string(i) + " was written";
      continue;
    }
    for (int64_t e = 0; e < a.count(); ++e)
      std::memcpy(now.data() + a.place(e) * bytes, before_[i].data() + a.place(e) * bytes, bytes);
    if (now != before_[i]) return "array " + std::to_string(i) + " was written between its elements";
  }
  return "";
}

Verdict Trial::well_formed(const ir::Program& program) {
  if (Diagnostics broken = ir::verify(program); !broken.empty())
    return {"verifier", "an invariant is broken:\n" + render(broken) + ir::print(program)};
  const std::string text = ir::print(program);
  Result<frontend::ast::Module> tree = frontend::parse(Source::make("printed.hd", text));
  if (!tree) return {"print", "the printed program does not parse:\n" + render(tree.errors()) + text};
  Result<frontend::Module> read = frontend::check_module(std::move(*tree));
  if (!read) return {"print", "the printed text is no program:\n" + render(read.errors()) + text};
  if (read->programs.size() != 1) return {"print", "the printed text is no program\n" + text};
  Result<ir::Program> again = frontend::read_program(*read->programs[0], *read);
  if (!again) return {"print", "the printed program does not read back:\n" + render(again.errors()) + text};
  if (!ir::equal_up_to_names(program, *again))
    return {"print", "the printed program reads back to another one:\n" + text + ir::print(*again)};
  return {};
}

Verdict Trial::interpreted(const ir::Program& program, bool exact) {
  ir::InterpretOptions how;
  how.seed = r_.next();
  how.max_leaves = most_leaves;
  reset();
  Result<ir::InterpretResult> done = ir::interpret(program, arguments(), how);
  if (!done && stops_ && stopped(done.errors())) return {};
  if (!done) return not_run(done.errors(), program);
  if (stops_) return {"answer", "no check stops the program any more\n" + ir::print(program)};
  const std::string wrong = exact ? differs(expected_) : outside();
  return wrong.empty() ? Verdict{}
                       : Verdict{"answer", "the program gives another answer: " + wrong + "\n" + ir::print(program)};
}

Verdict Trial::compiled(const ir::Program& program) {
  static const std::vector<std::string> members = targets();
  Result<ir::Target> target = api::resolve_target(r_.pick(members));
  ir::InterpretOptions how;
  how.has_fma = target->has_fma;
  how.max_leaves = most_leaves;
  reset();
  if (Result<ir::InterpretResult> done = ir::interpret(program, arguments(), how);
      !done && !(stops_ && stopped(done.errors())))
    return not_run(done.errors(), program);
  const std::vector<std::vector<unsigned char>> want = written();

  reset();
  uint64_t strided = 0;  // of which arrays the last axis takes steps
  for (size_t i = 0; i < arrays_.size(); ++i)
    if (!arrays_[i].strides().empty() && arrays_[i].strides().back() != 1 && arrays_[i].extents().back() > 1)
      strided |= uint64_t{1} << i;
  for (const ir::Parameter& q : program.parameters)  // a prepacked one is always dense
    if (q.buffer.known() && program.buffer(q.buffer).layout) strided = 0;
  Result<std::shared_ptr<api::KernelImpl>> kernel = api::compile_program(program, *target, "", 2, strided, {});
  // A box that depends on data is also refused by the compiler alone.
  const auto unproved = [](const Diagnostic& d) {
    return (d.code == "HD0230" || d.code == "HD0231" || d.code == "HD0232" || d.code == "HD0236") &&
           (!d.message.starts_with("after `") || d.message.starts_with("after `partition`") ||
            d.message.starts_with("after `outer_bounds`"));
  };
  if (!kernel && unproved(kernel.errors().front())) return {"unproved", render(kernel.errors()) + ir::print(program)};
  if (!kernel)
    return {"compiler", "does not compile for " + target->name + ":\n" + render(kernel.errors()) + ir::print(program)};
  std::vector<jit::ArrayArg> args;
  for (FencedArray& a : arrays_)
    args.push_back(
        {a.type(), static_cast<int>(a.extents().size()), a.extents().data(), a.strides().data(), a.data(), false});
  std::vector<jit::ScalarArg> scalars;
  for (const ir::ScalarValue& s : scalars_) scalars.push_back({s.real, s.integer});
  host::CheckReport report;
  const jit::CallError error = (*kernel)->run(args.data(), scalars.data(), report, 1 + r_.below(2));
  if (stops_) {
    if (error.kind != jit::CallError::check) return {"code", "no check stops compiled code\n" + ir::print(program)};
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (arrays_[i].copy() != before_[i])
        return {"code",
                "compiled code wrote before a check stopped it, on " + target->name + "\n" + ir::print(program)};
    return {};
  }
  if (error.kind)
    return {"call", "compiled code refuses the call: " + render((*kernel)->explain(error, args.data(), report)) +
                        ir::print(program)};
  std::string wrong = input_changed();
  if (wrong.empty()) wrong = canonical_.allow.contract || canonical_.allow.reassociate ? outside() : differs(want);
  if (wrong.empty()) return {};
  return {"code",
          "compiled code differs from the interpreter on " + target->name + ": " + wrong + "\n" + ir::print(program)};
}

}  // namespace heddle::fuzz
