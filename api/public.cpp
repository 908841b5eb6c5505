// The handles of heddle.h: thin, each calls one function of the story in compile.cpp.
// Over 500 lines, as it is one list: a handle is a few lines, and none of them decides anything.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/codes.h"
#include "api/impl.h"
#include "api/laws.h"
#include "api/modules.h"
#include "backend/host/c_header.h"
#include "backend/host/memory_plan.h"
#include "backend/host/target.h"
#include "frontend/format.h"
#include "frontend/parse.h"
#include "frontend/program_text.h"
#include "ir/print.h"
#include "jit/codes.h"
#include "support/stop.h"

namespace heddle {
namespace {

using api::KernelImpl;
using api::ModuleImpl;
using api::OpImpl;

Result<Module> make_module(std::string text, std::string name, std::shared_ptr<const ModuleImpl> base) {
  Result<std::shared_ptr<ModuleImpl>> made =
      api::module_of(Source::make(std::move(name), std::move(text)), std::move(base));
  if (!made) return made.errors();
  return Module(std::move(*made));
}

// Runs work under the limits of a request; what is stopped is a diagnostic.
template <class F>
auto within_limits(const CompileOptions& options, F work) -> decltype(work()) {
  if (options.time_limit_s <= 0 && !options.stop) return work();
  StopRule rule;
  rule.asked = options.stop;
  // A limit past some years is none.
  if (options.time_limit_s > 0 && options.time_limit_s < 1e8)
    rule.deadline =
        std::chrono::steady_clock::now() + std::chrono::microseconds(static_cast<int64_t>(options.time_limit_s * 1e6));
  try {
    StopScope scope(rule);
    return work();
  } catch (const Stopped& stopped) {
    if (!stopped.by_time) return Diagnostic(api::codes::stopped, {}, "the work was stopped before it was done");
    std::ostringstream limit;
    limit << options.time_limit_s;
    return Diagnostic(api::codes::time_limit, {}, "the time limit of " + limit.str() + " s has passed");
  }
}

// Scalars given, then defaults; refuses a missing one.
Result<std::vector<jit::ScalarArg>> scalar_args(const jit::CallPlan& plan, const std::vector<Scalar>& given) {
  std::vector<jit::ScalarArg> out;
  for (size_t i = 0; i < plan.scalars().size(); ++i) {
    const auto& row = plan.scalars()[i];
    if (i < given.size() && !given[i].left_out) out.push_back({given[i].real, given[i].integer});
    else if (row.has_default) out.push_back(row.default_value);
    else
      return Diagnostic(api::codes::wrong_arguments, {},
                        "the scalar `" + row.name + "` is not given and has no default");
  }
  if (given.size() > plan.scalars().size())
    return Diagnostic(
        api::codes::wrong_arguments, {},
        std::to_string(given.size()) + " scalars are given; the op takes " + std::to_string(plan.scalars().size()));
  return out;
}

std::vector<jit::ArrayArg> array_args(const std::vector<Buffer>& buffers) {
  std::vector<jit::ArrayArg> out;
  for (const Buffer& b : buffers)
    out.push_back({b.type, static_cast<int>(b.extents.size()), b.extents.data(), b.strides.data(), b.data, b.readonly,
                   b.packed ? &b.packed->text : nullptr});
  return out;
}

// Interpreter and simulator take arrays by their indices.
Result<Done> none_packed(const std::vector<Buffer>& buffers) {
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].packed)
      return Diagnostic(jit::codes::wrong_packing, {},
                        "array " + std::to_string(i) + " is packed; here arrays are taken as they are");
  return Done{};
}

Diagnostic wrong_count(size_t seen, int expected) {
  return Diagnostic(api::codes::wrong_arguments, {},
                    std::to_string(seen) + (seen == 1 ? " array is" : " arrays are") + " given; the op takes " +
                        std::to_string(expected) + ", inputs and then outputs");
}

// Where the request leaves the target open, a schedule for what this machine is not brings its own: its program can be shown and
// interpreted here, where nothing of it runs.
Result<ir::Target> target_of(const OpImpl& op, const CompileOptions& options) {
  if (options.schedule && (options.target.empty() || options.target == "auto"))
    for (const ir::ScheduleText* s : op.module->module().schedules_of(op.name))
      if (s->name == *options.schedule && s->target != "cpu" && !host::target_named(s->target))
        return api::resolve_target(s->target, true);
  return api::resolve_target(options.target, true);
}

// The program that the interpreter runs for a request, and its arguments checked by the same plan as compiled code.
struct Interpretable {
  ir::Program program;
  ir::Arguments args;
};

Result<Interpretable> interpretable(const OpImpl& op, const CompileOptions& options, const std::vector<Buffer>& arrays,
                                    const std::vector<Scalar>& scalars) {
  Result<ir::Target> target = target_of(op, options);
  if (!target) return target.errors();
  Result<ir::Program> canonical = api::canonical_program(op, options);
  if (!canonical) return canonical.errors();
  Result<api::Lowered> lowered = api::schedule_program(op, std::move(*canonical), options, *target);
  if (!lowered) return lowered.errors();
  if (Result<Done> plain = none_packed(arrays); !plain) return plain.errors();
  Interpretable out;
  out.program = std::move(lowered->scheduled.program);
  Result<jit::CallPlan> plan = jit::CallPlan::make(out.program);
  if (!plan) return plan.errors();
  if (static_cast<int>(arrays.size()) != plan->array_count()) return wrong_count(arrays.size(), plan->array_count());
  Result<std::vector<jit::ScalarArg>> values = scalar_args(*plan, scalars);
  if (!values) return values.errors();
  for (const Buffer& b : arrays) out.args.arrays.push_back({b.type, b.extents, b.strides, b.data});
  for (const jit::ScalarArg& s : *values) out.args.scalars.push_back({s.real, s.integer});
  return out;
}

}  // namespace

Buffer Buffer::dense(void* data, ScalarType type, std::vector<int64_t> extents, bool readonly) {
  std::vector<int64_t> strides(extents.size(), 1);
  for (size_t i = extents.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<int64_t>(extents[i], 1);
  return {data, type, std::move(extents), std::move(strides), readonly};
}

// ---------------------------------------------------------------------------------------------------------------------

Result<Module> Module::parse(std::string text, std::string name) {
  return make_module(std::move(text), std::move(name), nullptr);
}

Result<Module> Module::load(const std::string& path) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none))
    return Diagnostic(api::codes::unreadable_file, {}, "`" + path + "` is a folder, not a file");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    if (file && file.peek() == std::ifstream::traits_type::eof() && file.is_open()) return parse("", path);
    return Diagnostic(api::codes::unreadable_file, {}, "`" + path + "` cannot be read");
  }
  return parse(text.str(), path);
}

Result<Module> Module::extend(std::string text, std::string name) const {
  return make_module(std::move(text), std::move(name), impl_);
}

std::vector<std::string> Module::ops() const {
  std::vector<std::string> names;
  for (const api::OpOutline& op : impl_->outline().ops) names.push_back(op.name);
  return names;
}

Result<Op> Module::op(std::string_view name) const {
  if (!impl_->outline().op(name)) {
    Diagnostic d(api::codes::unknown_op, {}, "the module has no op `" + std::string(name) + "`");
    if (std::string near = nearest(name, ops()); !near.empty()) d.help = "did you mean `" + near + "`?";
    else
      for (const std::string& op : ops()) d.help += (d.help.empty() ? "its ops: `" : ", `") + op + "`";
    return d;
  }
  auto impl = std::make_shared<OpImpl>();
  impl->module = impl_;
  impl->name = name;
  return Op(std::move(impl));
}

Diagnostics Module::check_schedules() const {
  Diagnostics found;
  for (const auto& op : impl_->module().ops) {
    if (op->home) continue;  // imported
    OpImpl each{impl_, op->name()};
    for (const ir::ScheduleText* s : impl_->module().schedules_of(op->name())) {
      CompileOptions request = api::typical_request(each, s);
      Result<ir::Target> target =
          s->target.starts_with("neuron") ? api::resolve_target(s->target) : host::target_for_emission(s->target);
      if (!target) {
        for (Diagnostic d : target.errors()) {
          d.place = s->place;
          found.push_back(std::move(d));
        }
        continue;
      }
      Result<ir::Program> canonical = api::canonical_program(each, request);
      if (!canonical) continue;  // the op itself is checked; only these consts do not suit it
      request.schedule = s->name;
      Result<api::Lowered> lowered = api::schedule_program(each, std::move(*canonical), request, *target);
      if (!lowered) found.insert(found.end(), lowered.errors().begin(), lowered.errors().end());
    }
  }
  if (found.empty()) found = api::try_laws(*this);
  return found;
}

std::vector<std::string> Module::programs() const { return impl_->outline().programs; }

Result<Program> Module::program(std::string_view name) const {
  for (const auto& p : impl_->module().programs) {
    if (p->name.text() != name) continue;
    Result<ir::Program> program = frontend::read_program(*p, impl_->module());
    if (!program) return program.errors();
    return Program(std::make_shared<api::ProgramImpl>(api::ProgramImpl{std::move(*program)}));
  }
  Diagnostic d(api::codes::unknown_op, {}, "the text has no program `" + std::string(name) + "`");
  if (std::string near = nearest(name, programs()); !near.empty()) d.help = "did you mean `" + near + "`?";
  return d;
}

// ---------------------------------------------------------------------------------------------------------------------

const std::string& Program::name() const { return impl_->program.name; }
std::string Program::text() const { return ir::print(impl_->program); }

Result<Kernel> Program::compile(const std::string& target, int threads) const {
  Result<ir::Target> machine = api::resolve_target(target);
  if (!machine) return machine.errors();
  Result<std::shared_ptr<KernelImpl>> kernel = api::compile_program(impl_->program, *machine, "", threads, 0, {}, true);
  if (!kernel) return kernel.errors();
  return Kernel(*kernel);
}

Result<Done> Program::interpret(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars,
                                uint64_t seed) const {
  if (Result<Done> plain = none_packed(arrays); !plain) return plain.errors();
  Result<jit::CallPlan> plan = jit::CallPlan::make(impl_->program);
  if (!plan) return plan.errors();
  if (static_cast<int>(arrays.size()) != plan->array_count()) return wrong_count(arrays.size(), plan->array_count());
  Result<std::vector<jit::ScalarArg>> values = scalar_args(*plan, scalars);
  if (!values) return values.errors();
  ir::Arguments args;
  for (const Buffer& b : arrays) args.arrays.push_back({b.type, b.extents, b.strides, b.data});
  for (const jit::ScalarArg& s : *values) args.scalars.push_back({s.real, s.integer});
  ir::InterpretOptions how;
  how.seed = seed;
  Result<ir::InterpretResult> done = ir::interpret(impl_->program, args, how);
  if (!done) return done.errors();
  return Done{};
}

std::vector<ParameterInfo> Program::parameters() const {
  std::vector<ParameterInfo> out;
  for (const ir::Parameter& q : impl_->program.parameters) {
    ParameterInfo info;
    if (q.scalar.known()) {
      const ir::Symbol& s = impl_->program.symbol(q.scalar);
      info.name = s.name;
      info.kind = ParameterInfo::Kind::scalar;
      info.type = ir::scalar_type_name(s.type);
      if (const ir::Constant* c = q.default_value.as<ir::Constant>())
        info.default_value = ir::is_float(s.type) ? c->real : double(c->integer);
    } else {
      const ir::Buffer& b = impl_->program.buffer(q.buffer);
      info.name = b.name;
      info.type = ir::scalar_type_name(b.type);
      for (const ir::BoxDim& d : b.box) info.dims.push_back(ir::print(impl_->program, d.hi));
      info.output = b.role == ir::Role::out;
      info.inout = b.role == ir::Role::inout;
    }
    out.push_back(std::move(info));
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------------

const std::string& Op::name() const { return impl_->name; }
const std::string& Op::doc() const { return impl_->outline().doc; }
std::string Op::text() const { return std::string(impl_->module->module().op(impl_->name)->item->place.text()); }

std::vector<ParameterInfo> Op::parameters() const { return impl_->outline().parameters; }

std::vector<std::string> Op::schedules() const { return impl_->outline().schedules; }

std::vector<std::string> Op::schedule_lines(std::string_view schedule) const {
  std::vector<std::string> lines;
  for (const ir::ScheduleText* s : impl_->module->module().schedules_of(impl_->name))
    if (s->name == schedule)
      for (const ir::ScheduleLine& line : s->lines) lines.emplace_back(line.place.text());
  return lines;
}

Result<Kernel> Op::compile(const CompileOptions& options) const {
  Result<std::shared_ptr<KernelImpl>> kernel = within_limits(options, [&] { return api::compile(*impl_, options); });
  if (!kernel) return kernel.errors();
  return Kernel(*kernel);
}

Result<Op::States> Op::states(const CompileOptions& options) const {
  return within_limits(options, [&]() -> Result<States> {
    Result<ir::Target> target = target_of(*impl_, options);
    if (!target) return target.errors();
    Result<ir::Program> canonical = api::canonical_program(*impl_, options);
    if (!canonical) return canonical.errors();
    States out;
    out.states.push_back({"", ir::print(*canonical), {}});
    std::vector<schedule::State> states;
    Result<api::Lowered> lowered = api::schedule_program(*impl_, *canonical, options, *target, &states);
    if (!lowered) out.refusal = lowered.errors();
    for (const schedule::State& s : lowered ? lowered->scheduled.states : states)
      out.states.push_back({std::string(s.call.place.text()), ir::print(s.program), s.certificate.relied_on});
    return out;
  });
}

Result<Numerics> Op::numerics(const CompileOptions& options) const {
  return within_limits(options, [&]() -> Result<Numerics> {
    Result<ir::Target> target = target_of(*impl_, options);
    if (!target) return target.errors();
    Result<ir::Program> canonical = api::canonical_program(*impl_, options);
    if (!canonical) return canonical.errors();
    Result<api::Lowered> lowered = api::schedule_program(*impl_, std::move(*canonical), options, *target);
    if (!lowered) return lowered.errors();
    return ir::numerics_of(lowered->scheduled.program);
  });
}

Result<Done> Op::interpret(const CompileOptions& options, const std::vector<Buffer>& arrays,
                           const std::vector<Scalar>& scalars, uint64_t seed) const {
  return within_limits(options, [&]() -> Result<Done> {
    Result<Interpretable> ready = interpretable(*impl_, options, arrays, scalars);
    if (!ready) return ready.errors();
    ir::InterpretOptions how;
    how.seed = seed;
    how.has_fma = target_of(*impl_, options)->has_fma;
    Result<ir::InterpretResult> done = ir::interpret(ready->program, ready->args, how);
    if (!done) return done.errors();
    return Done{};
  });
}

Result<std::vector<Op::Bounded>> Op::reference(const CompileOptions& options, const std::vector<Buffer>& arrays,
                                               const std::vector<Scalar>& scalars) const {
  return within_limits(options, [&]() -> Result<std::vector<Bounded>> {
    Result<Interpretable> ready = interpretable(*impl_, options, arrays, scalars);
    if (!ready) return ready.errors();
    ir::InterpretOptions how;
    how.mode = ir::InterpretMode::bounded;
    Result<ir::InterpretResult> done = ir::interpret(ready->program, ready->args, how);
    if (!done) return done.errors();
    std::vector<Bounded> out;
    for (ir::BoundedArray& a : done->bounded) out.push_back({std::move(a.value), std::move(a.bound)});
    return out;
  });
}

// ---------------------------------------------------------------------------------------------------------------------

Result<Done> Kernel::operator()(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars) const {
  if (static_cast<int>(arrays.size()) != impl_->plan.array_count())
    return wrong_count(arrays.size(), impl_->plan.array_count());
  Result<std::vector<jit::ScalarArg>> values = scalar_args(impl_->plan, scalars);
  if (!values) return values.errors();
  std::vector<jit::ArrayArg> args = array_args(arrays);
  host::CheckReport report;
  jit::CallError error = impl_->run(args.data(), values->data(), report, 0);
  if (error.kind) return impl_->explain(error, args.data(), report);
  return Done{};
}

Result<NeuronReport> NeuronText::simulate(const std::vector<Buffer>& arrays, const std::vector<Scalar>& scalars,
                                          const SimulateOptions& options) const {
  if (!call) return Diagnostic(api::codes::wrong_arguments, {}, "this text comes from no op");
  if (Result<Done> plain = none_packed(arrays); !plain) return plain.errors();
  if (static_cast<int>(arrays.size()) != call->plan.array_count())
    return wrong_count(arrays.size(), call->plan.array_count());
  Result<std::vector<jit::ScalarArg>> values = scalar_args(call->plan, scalars);
  if (!values) return values.errors();
  return api::simulate(*this, array_args(arrays), *values, options);
}

Result<std::vector<std::vector<int64_t>>> Kernel::output_extents(const std::vector<Buffer>& inputs) const {
  const jit::CallPlan& plan = impl_->plan;
  std::vector<jit::ArrayArg> args(plan.array_count());
  size_t next = 0;
  for (int i = 0; i < plan.array_count(); ++i) {
    if (plan.arrays()[i].role == ir::Role::out) continue;
    if (next >= inputs.size()) return wrong_count(inputs.size(), plan.array_count());
    args[i] = array_args({inputs[next]}).front();
    args[i].extents = inputs[next].extents.data();
    ++next;
  }
  std::vector<int64_t> dims(plan.dim_count());
  if (jit::CallError e = plan.bind_dims(args.data(), dims.data()); e.kind) return plan.explain(e, args.data());
  std::vector<std::vector<int64_t>> out;
  for (int i = 0; i < plan.array_count(); ++i) {
    if (plan.arrays()[i].role != ir::Role::out) continue;
    out.emplace_back();
    if (!plan.extents(i, dims.data(), out.back())) return plan.explain({jit::CallError::overflow}, args.data());
  }
  return out;
}

Result<Packed> Kernel::pack(std::string_view parameter, const Buffer& array) const {
  const std::vector<Buffer> one{array};
  Result<std::shared_ptr<const api::PackedImpl>> made = impl_->pack(std::string(parameter), array_args(one)[0]);
  if (!made) return made.errors();
  return Packed(*made);
}

Result<Kernel::AheadOfTime> Kernel::ahead_of_time(const std::string& name) const {
  Result<ir::Program> whole = impl_->program();
  if (!whole) return whole.errors();
  const ir::Program& p = *whole;
  AheadOfTime out;
  out.name = host::c_name(name.empty() ? p.name.substr(0, p.name.find('.')) : name);
  const bool word =
      std::all_of(out.name.begin(), out.name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  if (!word || std::isdigit(static_cast<unsigned char>(out.name[0])))
    return Diagnostic(api::codes::wrong_arguments, {}, "`" + name + "` is no name of a C function");
  host::CompileOptions options;
  options.zero_registers = impl_->printed;
  options.entry = out.name;
  const std::vector<host::ArgTraits> dense(static_cast<size_t>(impl_->plan.array_count()), {true, false});
  Result<host::Compiled> compiled = host::compile(p, impl_->target, dense, options);
  if (!compiled) return compiled.errors();
  out.object = std::move(compiled->object);
  out.header = host::c_header(p, out.name, impl_->target.name, compiled->checks);
  return out;
}

std::vector<ScalarType> Kernel::output_types() const {
  std::vector<ScalarType> out;
  for (const auto& row : impl_->plan.arrays())
    if (row.role == ir::Role::out) out.push_back(row.type);
  return out;
}

const std::string& Kernel::program() const { return impl_->program_text; }
const std::string& Kernel::schedule() const { return impl_->schedule; }
const std::string& Kernel::target() const { return impl_->target.name; }
Times Kernel::times() const { return impl_->times; }
bool Kernel::cached() const { return impl_->cached; }
const std::string& Kernel::name() const { return impl_->name; }

namespace {
Result<host::Compiled> recompile(KernelImpl& k) {
  Result<ir::Program> program = k.program();
  if (!program) return program.errors();
  host::CompileOptions options;
  options.keep_llvm = options.keep_assembly = true;
  options.zero_registers = k.printed;
  std::vector<host::ArgTraits> traits(k.plan.array_count());
  for (host::ArgTraits& t : traits) t.unit_inner_stride = true;
  return host::compile(*program, k.target, traits, options);
}
}  // namespace

Result<std::string> Kernel::llvm() const {
  Result<host::Compiled> c = recompile(*impl_);
  if (!c) return c.errors();
  return c->llvm_ir;
}
Result<std::string> Kernel::memory() const {
  Result<ir::Program> program = impl_->program();
  if (!program) return program.errors();
  return host::memory_text(*program, impl_->target);
}
Result<std::string> Kernel::assembly() const {
  Result<host::Compiled> c = recompile(*impl_);
  if (!c) return c.errors();
  return c->assembly;
}

// ---------------------------------------------------------------------------------------------------------------------

void set_threads(int count) { api::session().set_threads(count); }
int threads() { return api::session().threads(); }
void set_cache(const std::string& folder, int64_t megabytes) { api::session().set_cache(folder, megabytes); }
CacheInfo cache() {
  jit::DiskCache& c = api::session().cache();
  c.flush();
  jit::DiskCache::Counts n = c.counts();
  return {c.on(), c.folder(), c.why_off(), n.hits, n.misses, n.stored};
}
Result<std::string> format(std::string text, std::string name) {
  return frontend::format(Source::make(std::move(name), std::move(text)));
}
std::string_view version() { return HEDDLE_VERSION; }

std::vector<std::string> targets() {
  std::vector<std::string> out;
  for (const char* name : {"cpu/amx", "cpu/avx512", "cpu/avx2", "cpu/x86-64-v2"})
    if (host::target_named(name)) out.push_back(name);
  return out;
}

}  // namespace heddle
