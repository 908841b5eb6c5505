// What stands behind a Module: its texts, an outline of its ops, and the checked module itself. A text that an earlier process has found
// right (api/store.cpp) is not read again until something beyond the outline is asked for.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/heddle/heddle.h"
#include "api/modules.h"
#include "frontend/module.h"

namespace heddle::jit {
class DiskCache;
}

namespace heddle::api {

/// What callers see of an op: enough to find a kernel on disk and to call it.
struct OpOutline {
  std::string name, doc;
  std::vector<ParameterInfo> parameters;
  std::vector<std::string> schedules;
};

/// Whether a line, or one in a branch, is that step.
bool has_step(const std::vector<ir::ScheduleLine>& lines, std::string_view step);

struct Outline {
  std::vector<OpOutline> ops;         ///< without those of imports
  std::vector<std::string> programs;  ///< printed ones, by name
  bool conditions = false;            ///< a schedule has a `where`, or fixes a dim: sizes choose between them

  static Outline of(const frontend::Module& module);
  const OpOutline* op(std::string_view name) const;
};

struct ModuleImpl {
  /// Parses and checks a text, added to `base` where one is given.
  static Result<std::shared_ptr<ModuleImpl>> read(SourceRef source, std::shared_ptr<const ModuleImpl> base);
  /// A text that is known to be right, with what its imports were answered with.
  ModuleImpl(SourceRef source, std::shared_ptr<const ModuleImpl> base, Imports imports, Outline outline);

  /// The checked module; read on first use.
  const frontend::Module& module() const;
  /// Milliseconds that parse and check took; 0 while the text is not read.
  Times times() const;

  const Source& source() const { return *source_; }
  const ModuleImpl* base() const { return base_.get(); }
  const Imports& imports() const { return imports_; }
  const Outline& outline() const { return outline_; }
  /// SHA-256 over all that the module is made of: its text, those of its base and of imports.
  const std::string& digest() const { return digest_; }

  /// The cache that holds this module, as far as known.
  mutable std::atomic<const jit::DiskCache*> kept_in = nullptr;

 private:
  SourceRef source_;
  std::shared_ptr<const ModuleImpl> base_;
  Imports imports_;
  Outline outline_;
  std::string digest_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const frontend::Module> module_;
  mutable Times times_;
};

/// The module of a text, from the cache on disk where it is known there.
Result<std::shared_ptr<ModuleImpl>> module_of(SourceRef source, std::shared_ptr<const ModuleImpl> base);

}  // namespace heddle::api
