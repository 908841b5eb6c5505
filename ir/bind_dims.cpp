// Values of dims from the arguments of a call, each from one array axis; every other axis is checked against them.
#include "ir/array_axes.h"
#include "ir/interpret.h"
#include "ir/interpret/expr_code.h"
#include "ir/print.h"

namespace heddle::ir {
namespace {

using interpreter::ExprCompiler;
using interpreter::Machine;
using interpreter::Typed;

class DimBinder {
 public:
  DimBinder(const Program& program, const Arguments& args)
      : p_(program), args_(args), machine_(program), exprs_(program, true) {}

  Result<std::map<SymbolId, int64_t>> run() {
    Diagnostics found = arguments();
    if (!found.empty()) return found;
    for (const DimDefinition& d : p_.dims) {
      if (std::optional<Diagnostic> error = define(d)) return *error;
      values_[d.dim] = machine_.index(d.dim);
    }
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (std::optional<Diagnostic> error = extents(p_.buffer(arrays_[i]), args_.arrays[i])) return *error;
    for (const Requirement& r : p_.requirements)
      if (std::optional<Diagnostic> error = require(r)) return *error;
    return values_;
  }

 private:
  static std::string number(int64_t v) { return std::to_string(v); }

  Diagnostics arguments() {
    size_t scalars = 0;
    for (const Parameter& q : p_.parameters) {
      if (q.buffer.known()) arrays_.push_back(q.buffer);
      else ++scalars;
    }
    if (arrays_.size() != args_.arrays.size() || scalars != args_.scalars.size())
      return {Diagnostic(codes::wrong_argument_count, {},
                         "`" + p_.name + "` takes " + number(static_cast<int64_t>(arrays_.size())) + " arrays and " +
                             number(static_cast<int64_t>(scalars)) + " scalars, not " +
                             number(static_cast<int64_t>(args_.arrays.size())) + " and " +
                             number(static_cast<int64_t>(args_.scalars.size())))};
    Diagnostics found;
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (std::optional<Diagnostic> error = argument(p_.buffer(arrays_[i]), args_.arrays[i])) found.push_back(*error);
    if (found.empty()) set_scalars();
    return found;
  }

  std::optional<Diagnostic> argument(const Buffer& b, const ArrayRef& a) {
    const size_t rank = array_rank(b);
    const std::string name = "the argument `" + b.name + "`";
    if (a.type != b.type)
      return Diagnostic(codes::wrong_type, b.place,
                        name + " has elements of type `" + std::string(scalar_type_name(a.type)) + "`, not `" +
                            std::string(scalar_type_name(b.type)) + "`");
    if (a.extents.size() != rank || a.strides.size() != rank)
      return Diagnostic(codes::wrong_rank, b.place,
                        name + " has " + number(static_cast<int64_t>(a.extents.size())) + " axes, its type has " +
                            number(static_cast<int64_t>(rank)));
    bool empty = false;
    for (int64_t e : a.extents) {
      empty |= e == 0;
      if (e < 0) return Diagnostic(codes::wrong_extent, b.place, name + " has an extent of " + number(e));
    }
    if (!a.data && !empty) return Diagnostic(codes::wrong_extent, b.place, name + " has no data");
    return std::nullopt;
  }

  void set_scalars() {
    size_t next = 0;
    for (const Parameter& q : p_.parameters) {
      if (!q.scalar.known()) continue;
      const ScalarType type = p_.symbol(q.scalar).type;
      const ScalarValue& v = args_.scalars[next++];
      if (is_float(type)) machine_.slots[q.scalar.value].real = round_to(type, v.real);
      else
        machine_.slots[q.scalar.value].integer = type == ScalarType::index ? v.integer : wrap_integer(type, v.integer);
    }
  }

  // An index or boolean expression over dims and scalars; a diagnostic where it overflows.
  std::optional<Diagnostic> evaluate(const Expr& e, int64_t& out) {
    const interpreter::IntCode<Typed> code = exprs_.integer(e);
    if (exprs_.error()) return exprs_.error();
    out = code(machine_);
    if (machine_.failure)
      return Diagnostic(codes::shape_overflow, {}, "`" + print(p_, e) + "` is past 64 bits for these arguments");
    return std::nullopt;
  }

  std::optional<Diagnostic> define(const DimDefinition& d) {
    const std::string& name = p_.symbol(d.dim).name;
    int64_t value = 0;
    if (!d.buffer.known()) {
      if (auto error = evaluate(d.value, value)) return error;
      if (value < 0)
        return Diagnostic(codes::wrong_extent, p_.symbol(d.dim).place,
                          "the dim `" + name + "` would be " + number(value) + ", less than 0");
      machine_.set_index(d.dim.value, value);
      return std::nullopt;
    }
    const ArrayRef* array = nullptr;
    for (size_t i = 0; i < arrays_.size(); ++i)
      if (arrays_[i] == d.buffer) array = &args_.arrays[i];
    if (!array || d.array_axis < 0 || static_cast<size_t>(d.array_axis) >= array->extents.size())
      return Diagnostic(codes::wrong_extent, p_.symbol(d.dim).place,
                        "the dim `" + name + "` is defined by no argument");
    const int64_t extent = array->extents[static_cast<size_t>(d.array_axis)];
    int64_t offset = 0, divisor = 1, rest = 0;
    if (d.offset.known())
      if (auto error = evaluate(d.offset, offset)) return error;
    if (d.divisor.known())
      if (auto error = evaluate(d.divisor, divisor)) return error;
    const bool fits = !__builtin_sub_overflow(extent, offset, &rest);
    // Of an axis without elements, of which another part is 0, any value would fit: 0, as calls have it.
    if (fits && rest == 0 && divisor == 0) return machine_.set_index(d.dim.value, 0), std::nullopt;
    if (!fits || divisor == 0 || rest % divisor != 0 || rest / divisor < 0)
      return Diagnostic(codes::wrong_extent, p_.buffer(d.buffer).place,
                        "axis " + number(d.array_axis) + " of the argument `" + p_.buffer(d.buffer).name + "` has " +
                            number(extent) + " elements, from which `" + axis_text(p_.buffer(d.buffer), d.array_axis) +
                            "` gives no whole `" + name + "`");
    machine_.set_index(d.dim.value, rest / divisor);
    return std::nullopt;
  }

  std::string axis_text(const Buffer& b, int axis) const {
    return print(p_, axis_extent(b, array_axes(b)[static_cast<size_t>(axis)]));
  }

  std::optional<Diagnostic> extents(const Buffer& b, const ArrayRef& a) {
    int64_t size = 1;
    bool overflow = false, empty = false;
    const std::vector<AxisSpan> axes = array_axes(b);
    for (size_t axis = 0; axis < a.extents.size(); ++axis) {
      int64_t expected = 0;
      if (auto error = evaluate(axis_extent(b, axes[axis]), expected)) return error;
      if (a.extents[axis] != expected)
        return Diagnostic(codes::wrong_extent, b.place,
                          "axis " + number(static_cast<int64_t>(axis)) + " of the argument `" + b.name + "` has " +
                              number(a.extents[axis]) + " elements; `" + axis_text(b, static_cast<int>(axis)) +
                              "` is " + number(expected) + " here");
      empty |= expected == 0;
      overflow |= __builtin_mul_overflow(size, expected, &size);
    }
    if (overflow && !empty)
      return Diagnostic(codes::shape_overflow, b.place, "the number of elements of `" + b.name + "` is past 64 bits");
    return std::nullopt;
  }

  std::optional<Diagnostic> require(const Requirement& r) {
    int64_t holds = 0;
    if (auto error = evaluate(r.condition, holds)) return error;
    if (holds) return std::nullopt;
    return Diagnostic(codes::requirement_fails, r.place, r.text)
        .with_help("`" + print(p_, r.condition) + "` does not hold for these arguments");
  }

  const Program& p_;
  const Arguments& args_;
  Machine<Typed> machine_;
  ExprCompiler<Typed> exprs_;
  std::vector<BufferId> arrays_;
  std::map<SymbolId, int64_t> values_;
};

}  // namespace

Result<std::map<SymbolId, int64_t>> bind_dims(const Program& program, const Arguments& args) {
  return DimBinder(program, args).run();
}

}  // namespace heddle::ir
