// Which schedule a call takes: each `where` tested on the actual dims, the first that holds in the order of the file.
#pragma once

#include <string>
#include <vector>

#include "api/impl.h"

namespace heddle::api {

class Chooser {
 public:
  /// For one choice of element types, ranks and consts; `options.schedule` and extents are not looked at.
  static Result<Chooser> make(const OpImpl& op, const CompileOptions& options);
  /// From the cache on disk, else by `make`.
  static Result<Chooser> find_or_make(const OpImpl& op, const CompileOptions& options);
  /// The schedule's name, "" for none. Arrays that do not bind give "": the kernel itself then says what is wrong.
  const std::string& choose(const jit::ArrayArg* arrays) const;
  /// No schedule has a `where`: the answer is always the same.
  bool constant() const { return rows_.empty() || !rows_.front().conditional; }

 private:
  std::string bytes() const;
  static std::optional<Chooser> of_bytes(std::string_view bytes);
  struct Row {
    std::string schedule;
    bool conditional = false;
    jit::IndexCode where;
  };
  jit::CallPlan plan_;
  std::vector<Row> rows_;
  std::string none_;
};

}  // namespace heddle::api
