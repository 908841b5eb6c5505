// Where imports come from: files beside the importing one, and the standard library.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontend/module.h"

namespace heddle::api {

class ModuleFinder {
 public:
  /// `importing`: the file that a text was read from; any other name has no folder to import from.
  explicit ModuleFinder(const std::string& importing);

  /// `std/nn` (all ops of an area), `std/nn/softmax`, or a path from the folder of the file that `from` stands in.
  Result<std::shared_ptr<const frontend::Module>> find(const std::string& path, const Place& from);

 private:
  Result<std::vector<std::string>> files_of(const std::string& path, const Place& from) const;
  Result<frontend::Module> read(const std::string& file, const frontend::Module* base, const Place& from);

  std::vector<std::string> open_;  // files that are being read, outermost first
  std::map<std::string, std::shared_ptr<const frontend::Module>> known_;
};

/// The folder of the standard library; empty when it is not found.
const std::string& library_folder();

}  // namespace heddle::api
