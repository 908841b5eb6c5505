// What later processes find on disk (jit/cache.h), in two kinds of entries:
//
//   code    machine code, by the printed program, target, argument traits and this very build
//   front   the program and the plan of its calls, by the source and the request, so that a hit neither checks, schedules nor prints
//
// Keys hold their whole text: equal keys mean equal results, because a compile looks at nothing else.
#include <chrono>

#include "api/impl.h"
#include "support/bytes.h"

namespace heddle::api {
namespace {

constexpr int format_version = 3;

// What a request has more must be in the key of its front: a kernel that is found must be the one that was asked for.
static_assert(sizeof(CompileOptions) == 288 && sizeof(Spec) == 40, "put the new field of the request into front_key");

void head(ByteWriter& key, std::string_view kind, const ir::Target& target) {
  key.text(kind);
  key.put(format_version);
  key.text(session().build());
  key.text(target.name);
  key.put(target.cores);
  key.list(target.features, [&](const std::string& f) { key.text(f); });
}

void pairs(ByteWriter& key, const std::map<std::string, int64_t>& map) {
  key.list(map, [&](const auto& pair) {
    key.text(pair.first);
    key.put(pair.second);
  });
}

// Sizes choose a schedule where none is named and one of the op's has a `where`.
bool sizes_matter(const OpImpl& op, const CompileOptions& options) {
  if (options.schedule) return false;
  for (const ir::ScheduleText* s : op.module->module.schedules_of(op.name))
    if (s->has_where) return true;
  return false;
}

std::string code_key(const KernelImpl& kernel, uint64_t strided) {
  ByteWriter key;
  head(key, "code", kernel.target);
  key.put(strided);
  key.put(kernel.printed);
  key.text(kernel.program_text);
  return key.take();
}

}  // namespace

std::string front_key(const OpImpl& op, const CompileOptions& options, const ir::Target& target) {
  if (!session().cache().on()) return "";
  ByteWriter key;
  head(key, "front", target);
  key.list(op.module->module.sources, [&](const SourceRef& s) { key.text(s->text()); });
  key.text(op.name);
  const bool sizes = sizes_matter(op, options);
  key.list(options.arrays, [&](const Spec& s) {
    key.put(s.type);
    key.put(s.unit_inner_stride);
    key.put(uint64_t{s.extents.size()});
    if (sizes) key.list(s.extents, [&](int64_t e) { key.put(e); });
  });
  pairs(key, options.consts);
  pairs(key, options.tune);
  pairs(key, options.fix);
  key.put(options.schedule.has_value());
  key.text(options.schedule.value_or(""));
  key.put(options.threads);
  return key.take();
}

std::shared_ptr<KernelImpl> find_front(const std::string& front, const OpImpl& op, const CompileOptions& options,
                                       const ir::Target& target) {
  if (front.empty()) return nullptr;
  const auto start = std::chrono::steady_clock::now();
  std::optional<std::string> content = session().cache().find(front);
  if (!content) return nullptr;
  ByteReader in(*content);
  auto kernel = std::make_shared<KernelImpl>();
  kernel->name = in.text();
  kernel->schedule = in.text();
  kernel->program_text = in.text();
  std::optional<jit::CallPlan> plan = jit::CallPlan::read(in);
  if (!plan || !in.done()) return nullptr;
  kernel->key = kernel_key(target, options.threads, kernel->schedule, kernel->program_text);
  if (std::shared_ptr<KernelImpl> live = session().find(kernel->key)) return live;
  kernel->plan = std::move(*plan);
  kernel->target = target;
  kernel->threads = options.threads;
  kernel->times.parse = op.module->parse_ms;
  kernel->times.check = op.module->check_ms;
  kernel->remake = [op, options, target]() -> Result<ir::Program> {
    Result<ir::Program> canonical = canonical_program(op, options);
    if (!canonical) return canonical.errors();
    Result<Lowered> lowered = schedule_program(op, std::move(*canonical), options, target);
    if (!lowered) return lowered.errors();
    return std::move(lowered->scheduled.program);
  };
  // Without its code the whole way is no longer than this one.
  std::optional<Variant> code = find_code(*kernel, strided_inputs(options));
  if (!code) return nullptr;
  kernel->adopt(strided_inputs(options), std::move(*code));
  kernel->times.cache = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return kernel;
}

void store_front(const std::string& front, const KernelImpl& kernel) {
  if (front.empty()) return;
  ByteWriter out;
  out.text(kernel.name);
  out.text(kernel.schedule);
  out.text(kernel.program_text);
  kernel.plan.write(out);
  session().cache().store(front, out.take());
}

std::optional<Variant> find_code(const KernelImpl& kernel, uint64_t strided) {
  if (!session().cache().on()) return {};
  std::optional<std::string> content = session().cache().find(code_key(kernel, strided));
  if (!content) return {};
  ByteReader in(*content);
  Variant out;
  in.list([&] { out.checks.emplace_back(in.text()); });
  std::string_view object = in.text();
  if (!in.done()) return {};
  Result<std::shared_ptr<jit::LoadedKernel>> loaded = session().engine.load({object.begin(), object.end()});
  if (!loaded) return {};
  out.code = *loaded;
  return out;
}

void store_code(const KernelImpl& kernel, uint64_t strided, const std::vector<char>& object,
                const std::vector<std::string>& checks) {
  if (!session().cache().on()) return;
  ByteWriter out;
  out.list(checks, [&](const std::string& c) { out.text(c); });
  out.text({object.data(), object.size()});
  session().cache().store(code_key(kernel, strided), out.take());
}

}  // namespace heddle::api
