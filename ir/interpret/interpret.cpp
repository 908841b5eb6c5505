// A run from arguments to results: dims, copies of the arrays, the compiled program, the arrays again.
#include "ir/interpret.h"

#include <bit>
#include <cstring>
#include <new>

#include "ir/array_axes.h"
#include "ir/interpret/run.h"
#include "ir/print.h"

namespace heddle::ir {
namespace interpreter {
namespace {

double read_float(ScalarType type, const std::byte* at) {
  uint64_t bits = 0;
  std::memcpy(&bits, at, static_cast<size_t>(scalar_bytes(type)));
  return decode_float(type, bits);
}
int64_t read_integer(ScalarType type, const std::byte* at) {
  int64_t bits = 0;
  std::memcpy(&bits, at, static_cast<size_t>(scalar_bytes(type)));
  return type == ScalarType::boolean ? (bits & 0xFF) != 0 : wrap_integer(type, bits);
}
void write_bits(ScalarType type, std::byte* at, uint64_t bits) {
  std::memcpy(at, &bits, static_cast<size_t>(scalar_bytes(type)));
}

// The caller's element of each cell of an array parameter: composite axes are taken apart, row-major.
template <class M>
struct Elements {
  std::vector<int64_t> strides;  // in elements, one for each logical dim
  std::byte* data;
  int bytes;

  Elements(const Buffer& b, const ArrayRef& a, const Instance<M>& in)
      : data(static_cast<std::byte*>(a.data)), bytes(scalar_bytes(b.type)) {
    strides.resize(b.box.size());
    size_t axis = 0;
    for (const AxisSpan& span : array_axes(b)) {
      for (size_t d = span.end; d-- > span.begin;)
        strides[d] = d + 1 < span.end ? strides[d + 1] * in.extent[d + 1] : a.strides[axis];
      ++axis;
    }
  }
  /// Calls f(cell, element) for all cells in order.
  template <class F>
  void each(const Instance<M>& in, F f) const {
    std::vector<int64_t> at(in.extent.size(), 0);
    int64_t offset = 0;
    for (int64_t cell = 0; cell < in.size(); ++cell) {
      f(static_cast<size_t>(cell), data + offset * bytes);
      for (size_t d = at.size(); d-- > 0;) {
        offset += strides[d];
        if (++at[d] < in.extent[d]) break;
        offset -= strides[d] * in.extent[d];
        at[d] = 0;
      }
    }
  }
};

template <class M>
class Run {
 public:
  Run(const Program& program, const Arguments& args, const InterpretOptions& options)
      : program_(program), args_(args), options_(options), machine_(program) {
    machine_.has_fma = options.has_fma;
    machine_.max_leaves = options.max_leaves;
  }

  Result<InterpretResult> run(const std::map<SymbolId, int64_t>& dims) {
    for (const auto& [symbol, value] : dims) machine_.set_index(symbol.value, value);
    set_scalars();
    if (Diagnostics broken = facts(); !broken.empty()) return broken;
    Result<ProgramCode<M>> code = compile(machine_);
    if (!code) return code.errors();
    Runner<M> runner(machine_, *code, options_.seed);
    load(runner, code->has_parallel);
    if (!machine_.failure) runner.run();
    machine_.statement = nullptr;
    InterpretResult result;
    if (!machine_.failure) store(result);
    if (machine_.failure) return *machine_.failure;
    return result;
  }

 private:
  struct Array {
    BufferId buffer;
    const ArrayRef* ref;
    Instance<M> in;
  };

  void set_scalars() {
    size_t next = 0;
    for (const Parameter& p : program_.parameters) {
      if (!p.scalar.known()) continue;
      const ScalarType type = program_.symbol(p.scalar).type;
      const ScalarValue& v = args_.scalars[next++];
      Cell<M>& slot = machine_.slots[p.scalar.value];
      if (is_float(type)) slot.real = M::element(type, v.real);
      else slot.integer = M::integer(type == ScalarType::index ? v.integer : wrap_integer(type, v.integer));
    }
  }

  Diagnostics facts() {
    ExprCompiler<M> exprs(program_, options_.has_fma);
    for (const Expr& fact : program_.facts) {
      const IntCode<M> code = exprs.integer(fact);
      if (exprs.error()) return {*exprs.error()};
      const bool holds = machine_.index(code(machine_)) != 0;
      if (machine_.failure) return {*machine_.failure};
      if (!holds)
        return {Diagnostic(codes::fact_fails, {},
                           "`" + program_.name + "` was made for sizes where `" + print(program_, fact) +
                               "`, which does not hold here")};
    }
    return {};
  }

  void load(Runner<M>& runner, bool watch_races) {
    ExprCompiler<M> exprs(program_, options_.has_fma);
    for (const Parameter& p : program_.parameters)
      if (p.buffer.known()) arrays_.push_back({p.buffer, &args_.arrays[arrays_.size()], {}});
    for (Array& a : arrays_) {
      const Buffer& b = program_.buffer(a.buffer);
      for (const BoxDim& d : b.box) {
        const int64_t lo = machine_.index(exprs.integer(d.lo)(machine_)),
                      hi = machine_.index(exprs.integer(d.hi)(machine_));
        a.in.lo.push_back(lo);
        a.in.extent.push_back(std::max<int64_t>(0, hi - lo));
      }
      runner.prepare(a.in, a.buffer, watch_races);
      if (machine_.failure) return;
      machine_.current[a.buffer.value] = &a.in;
      if (b.role == Role::out) continue;
      Elements<M>(b, *a.ref, a.in).each(a.in, [&](size_t cell, const std::byte* at) {
        if (is_float(b.type)) a.in.cells[cell] = Cell<M>(M::real(read_float(b.type, at)));
        else a.in.cells[cell] = Cell<M>(M::integer(read_integer(b.type, at)));
        a.in.state[cell] = written;
      });
    }
  }

  void store(InterpretResult& result) {
    for (const Array& a : arrays_) {
      const Buffer& b = program_.buffer(a.buffer);
      if (b.role == Role::in) continue;
      for (int64_t cell = 0; cell < a.in.size(); ++cell)
        if (a.in.state[static_cast<size_t>(cell)] == poison)
          return machine_.fail(codes::unwritten_output,
                               machine_.cell_name(a.buffer, a.in, cell) + " of the output was never written");
      Elements<M>(b, *a.ref, a.in).each(a.in, [&](size_t cell, std::byte* at) {
        const Cell<M>& c = a.in.cells[cell];
        const bool real = is_float(b.type);
        write_bits(b.type, at,
                   real ? encode_float(b.type, M::nominal(c.real)) : static_cast<uint64_t>(M::nominal_int(c.integer)));
      });
      if constexpr (M::bounded) result.bounded.push_back(bounded_array(b, a.in));
    }
  }

  static BoundedArray bounded_array(const Buffer& b, const Instance<M>& in) {
    BoundedArray out;
    for (const Cell<M>& c : in.cells) {
      if (is_float(b.type)) {
        out.value.push_back(c.real.value);
        out.bound.push_back(c.real.bound);
        continue;
      }
      if constexpr (M::bounded) {
        const int64_t v = c.integer.value;
        out.value.push_back(b.type == ScalarType::u64 ? static_cast<double>(static_cast<uint64_t>(v))
                                                      : static_cast<double>(v));
        out.bound.push_back(c.integer.bound);
      }
    }
    return out;
  }

  const Program& program_;
  const Arguments& args_;
  const InterpretOptions& options_;
  Machine<M> machine_;
  std::vector<Array> arrays_;
};

}  // namespace
}  // namespace interpreter

Result<InterpretResult> interpret(const Program& program, const Arguments& args, const InterpretOptions& options) try {
  Result<std::map<SymbolId, int64_t>> dims = bind_dims(program, args);
  if (!dims) return dims.errors();
  if (options.mode == InterpretMode::typed)
    return interpreter::Run<interpreter::Typed>(program, args, options).run(*dims);
  return interpreter::Run<interpreter::BoundedMode>(program, args, options).run(*dims);
} catch (const std::bad_alloc&) {
  return Diagnostic(codes::too_much_memory, {}, "the buffers of `" + program.name + "` do not fit in memory");
}

}  // namespace heddle::ir
