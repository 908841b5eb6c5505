// What later processes find on disk (jit/cache.h), all by this very build, in four kinds of entries:
//
//   module   that a text is right, and the outline of its ops, by the text; what its imports name is looked up and compared
//   chooser  which schedules an op has for its types, and when each is taken (api/chooser.cpp), by the module and the types
//   front    the program and the plan of its calls, by the module and the request
//   code     machine code, by the printed program, target and argument traits
//
// With all of them, from the text to the call, nothing is parsed, checked, scheduled or printed. Keys hold all that a result depends on, the
// module by the SHA-256 of its texts: equal keys mean equal results, because a compile looks at nothing else. A module is kept with the
// first kernel of one of its ops, so that texts which are only looked at leave nothing behind.
#include <chrono>

#include "api/impl.h"
#include "support/bytes.h"
#include "support/sha256.h"

namespace heddle::api {
namespace {

constexpr int format_version = 4;

// What a request has more must be in the key of its front: a kernel that is found must be the one that was asked for.
static_assert(sizeof(CompileOptions) == 288 && sizeof(Spec) == 40, "put the new field of the request into front_key");

void head(ByteWriter& key, std::string_view kind) {
  key.text(kind);
  key.put(format_version);
  key.text(session().build());
}

void head(ByteWriter& key, std::string_view kind, const ir::Target& target) {
  head(key, kind);
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

std::string module_key(const Source& source, const ModuleImpl* base) {
  ByteWriter key;
  head(key, "module");
  key.text(base ? base->digest() : "");
  key.text(source.text());
  return key.take();
}

// Imports as they are known to a text under any name: each importing text by its number, 0 for the text itself and then files in the
// order in which they were found; files by the digests of their texts.
void write_imports(ByteWriter& out, const Source& source, const Imports& imports) {
  std::map<std::string, uint32_t> numbers{{source.name(), 0}};
  out.list(imports.asked, [&](const Imports::Asked& a) {
    out.put(numbers.at(a.from));
    out.text(a.path);
    out.list(a.files, [&](const std::string& file) {
      numbers.try_emplace(file, static_cast<uint32_t>(numbers.size()));
      out.put(sha256(imports.texts.at(file)));
    });
  });
}

// The imports of a text of this name where each still names what was found before.
std::optional<Imports> read_imports(ByteReader& in, const Source& source) {
  Imports out;
  std::vector<std::string> importing{source.name()};
  const ModuleFinder finder(source.name());
  bool same = true;
  in.list([&] {
    const uint32_t from = in.get<uint32_t>();
    const std::string path(in.text());
    std::vector<Digest> digests;
    in.list([&] { digests.push_back(in.get<Digest>()); });
    if (!(same = same && !in.broken() && from < importing.size())) return;
    Result<std::vector<std::string>> files = ModuleFinder::files_of(path, importing[from]);
    if (!(same = files.ok() && files->size() == digests.size())) return;
    for (size_t i = 0; i < files->size() && same; ++i) {
      const std::string& file = (*files)[i];
      auto known = out.texts.find(file);
      if (known == out.texts.end()) {
        Result<std::string> text = ModuleFinder::text_of(file);
        if (!(same = text.ok() && !finder.is_open(file))) return;
        known = out.texts.emplace(file, std::move(*text)).first;
        importing.push_back(file);
      }
      same = sha256(known->second) == digests[i];
    }
    out.asked.push_back({importing[from], path, std::move(*files)});
  });
  if (!same || in.broken()) return {};
  return out;
}

// A field more must be written and read here.
static_assert(sizeof(ParameterInfo) == 120 && sizeof(OpOutline) == 112 && sizeof(Outline) == 56);

void write_outline(ByteWriter& out, const Outline& outline) {
  out.list(outline.ops, [&](const OpOutline& op) {
    out.text(op.name);
    out.text(op.doc);
    out.list(op.parameters, [&](const ParameterInfo& p) {
      out.text(p.name);
      out.put(p.kind);
      out.text(p.type);
      out.list(p.dims, [&](const std::string& d) { out.text(d); });
      out.put(p.output);
      out.put(p.inout);
      out.put(p.default_value.has_value());
      out.put(p.default_value.value_or(0));
    });
    out.list(op.schedules, [&](const std::string& s) { out.text(s); });
  });
  out.list(outline.programs, [&](const std::string& p) { out.text(p); });
  out.put(outline.conditions);
}

Outline read_outline(ByteReader& in) {
  Outline out;
  in.list([&] {
    OpOutline& op = out.ops.emplace_back();
    op.name = in.text();
    op.doc = in.text();
    in.list([&] {
      ParameterInfo& p = op.parameters.emplace_back();
      p.name = in.text();
      p.kind = in.get<ParameterInfo::Kind>();
      p.type = in.text();
      in.list([&] { p.dims.emplace_back(in.text()); });
      p.output = in.get<bool>();
      p.inout = in.get<bool>();
      const bool has_default = in.get<bool>();
      const double value = in.get<double>();
      if (has_default) p.default_value = value;
    });
    in.list([&] { op.schedules.emplace_back(in.text()); });
  });
  in.list([&] { out.programs.emplace_back(in.text()); });
  out.conditions = in.get<bool>();
  return out;
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

std::shared_ptr<ModuleImpl> find_module(const SourceRef& source, const std::shared_ptr<const ModuleImpl>& base) {
  jit::DiskCache& cache = session().cache();
  if (!cache.on()) return nullptr;
  std::optional<std::string> content = cache.find(module_key(*source, base.get()));
  if (!content) return nullptr;
  ByteReader in(*content);
  std::optional<Imports> imports = read_imports(in, *source);
  if (!imports) return nullptr;
  Outline outline = read_outline(in);
  if (!in.done()) return nullptr;
  auto module = std::make_shared<ModuleImpl>(source, base, std::move(*imports), std::move(outline));
  module->kept_in = &cache;
  return module;
}

void store_module(const ModuleImpl& module) {
  jit::DiskCache& cache = session().cache();
  if (!cache.on() || module.kept_in.exchange(&cache) == &cache) return;
  ByteWriter out;
  write_imports(out, module.source(), module.imports());
  write_outline(out, module.outline());
  cache.store(module_key(module.source(), module.base()), out.take());
}

std::string chooser_key(const OpImpl& op, const CompileOptions& options, const ir::Target& target) {
  if (!session().cache().on()) return "";
  ByteWriter key;
  head(key, "chooser", target);
  key.text(op.module->digest());
  key.text(op.name);
  key.list(options.arrays, [&](const Spec& s) {
    key.put(s.type);
    key.put(uint64_t{s.extents.size()});
  });
  pairs(key, options.consts);
  pairs(key, options.fix);
  return key.take();
}

std::string front_key(const OpImpl& op, const CompileOptions& options, const ir::Target& target) {
  if (!session().cache().on()) return "";
  ByteWriter key;
  head(key, "front", target);
  key.text(op.module->digest());
  key.text(op.name);
  const bool sizes = !options.schedule && op.module->outline().conditions;
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
  kernel->times = op.module->times();
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
