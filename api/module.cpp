#include "api/module.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "api/impl.h"
#include "frontend/parse.h"
#include "support/bytes.h"
#include "support/sha256.h"

namespace heddle::api {
namespace {

using Kind = frontend::SignatureParam::Kind;

class Clock {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

ParameterInfo parameter(const frontend::SignatureParam& p, bool output) {
  ParameterInfo info;
  info.name = p.name;
  info.kind = p.kind == Kind::scalar     ? ParameterInfo::Kind::scalar
              : p.kind == Kind::constant ? ParameterInfo::Kind::constant
                                         : ParameterInfo::Kind::array;
  info.type = p.type_text;
  info.dims = p.dims;
  info.output = output;
  info.inout = p.kind == Kind::inout;
  if (p.default_const) info.default_value = static_cast<double>(*p.default_const);
  else if (!p.default_text.empty())
    info.default_value = p.default_text == "true" ? 1 : std::strtod(p.default_text.c_str(), nullptr);
  return info;
}

Result<frontend::Module> parse_and_check(const SourceRef& source, const ModuleImpl* base, ModuleFinder& finder,
                                         Times& times) {
  Clock clock;
  Result<frontend::ast::Module> tree = frontend::parse(source);
  if (!tree) return tree.errors();
  times.parse = clock.lap();
  const frontend::Module* below = base ? &base->module() : nullptr;
  clock.lap();
  Result<frontend::Module> module = frontend::check_module(
      std::move(*tree), below, [&](const std::string& path, const Place& from) { return finder.find(path, from); });
  times.check = clock.lap();
  return module;
}

}  // namespace

bool has_step(const std::vector<ir::ScheduleLine>& lines, std::string_view step) {
  return std::any_of(lines.begin(), lines.end(), [&](const ir::ScheduleLine& line) {
    return has_step(line.then, step) || has_step(line.otherwise, step) ||
           (line.kind == ir::ScheduleLine::Kind::step && line.step.name == step);
  });
}

Outline Outline::of(const frontend::Module& module) {
  Outline out;
  for (const auto& op : module.ops) {
    if (op->home) continue;
    OpOutline& row = out.ops.emplace_back();
    row.name = op->name();
    row.doc = op->doc();
    for (const frontend::SignatureParam& p : op->signature.params) row.parameters.push_back(parameter(p, false));
    for (const frontend::SignatureParam& p : op->signature.results) row.parameters.push_back(parameter(p, true));
    for (const ir::ScheduleText* s : module.schedules_of(row.name)) row.schedules.push_back(s->name);
  }
  // Of all schedules: one without a `where` is held to those of the schedules that it applies, and to what derived steps fix.
  out.conditions =
      std::any_of(module.schedules.begin(), module.schedules.end(),
                  [](const auto& s) { return s->has_where || has_step(s->lines, "fix"); }) ||
      std::any_of(module.steps.begin(), module.steps.end(), [](const auto& d) { return has_step(d->lines, "fix"); });
  for (const auto& p : module.programs) out.programs.push_back(p->name.text());
  return out;
}

const OpOutline* Outline::op(std::string_view name) const {
  auto found = std::find_if(ops.begin(), ops.end(), [&](const OpOutline& o) { return o.name == name; });
  return found == ops.end() ? nullptr : &*found;
}

ModuleImpl::ModuleImpl(SourceRef source, std::shared_ptr<const ModuleImpl> base, Imports imports, Outline outline)
    : source_(std::move(source)), base_(std::move(base)), imports_(std::move(imports)), outline_(std::move(outline)) {
  ByteWriter all;
  all.text(base_ ? base_->digest() : "");
  all.text(source_->text());
  all.list(imports_.asked, [&](const Imports::Asked& a) {
    all.text(a.path);
    all.list(a.files, [&](const std::string& file) { all.put(sha256(imports_.texts.at(file))); });
  });
  digest_ = hex(sha256(all.take()));
}

Result<std::shared_ptr<ModuleImpl>> ModuleImpl::read(SourceRef source, std::shared_ptr<const ModuleImpl> base) {
  ModuleFinder finder(source->name());
  Times times;
  Result<frontend::Module> module = parse_and_check(source, base.get(), finder, times);
  if (!module) return module.errors();
  auto out = std::make_shared<ModuleImpl>(std::move(source), std::move(base), finder.imports(), Outline::of(*module));
  out->module_ = std::make_unique<const frontend::Module>(std::move(*module));
  out->times_ = times;
  return out;
}

const frontend::Module& ModuleImpl::module() const {
  {
    std::lock_guard lock(mutex_);
    if (module_) return *module_;
  }
  // Without the lock: the work may ask whoever started it whether to stop (support/stop.h), and that may wait for a thread that waits here.
  // Of two threads that read the text at once, one has worked in vain.
  ModuleFinder finder(source_->name(), imports_);
  Times times;
  Result<frontend::Module> module = parse_and_check(source_, base_.get(), finder, times);
  // This very build has found these very texts right before.
  if (!module) throw std::logic_error("a text that was right is not any more: " + render(module.errors()));
  std::lock_guard lock(mutex_);
  if (module_) return *module_;
  times_ = times;
  module_ = std::make_unique<const frontend::Module>(std::move(*module));
  return *module_;
}

Times ModuleImpl::times() const {
  std::lock_guard lock(mutex_);
  return times_;
}

Result<std::shared_ptr<ModuleImpl>> module_of(SourceRef source, std::shared_ptr<const ModuleImpl> base) {
  if (std::shared_ptr<ModuleImpl> known = find_module(source, base)) return known;
  return ModuleImpl::read(std::move(source), std::move(base));
}

}  // namespace heddle::api
