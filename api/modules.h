// Where imports come from: files beside the importing one, and the standard library.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "frontend/module.h"

namespace heddle::api {

/// What the imports of a text, and those of what it imports, were answered with.
struct Imports {
  struct Asked {
    std::string from;  ///< the file or text that imports
    std::string path;  ///< as it stands there
    std::vector<std::string> files;
  };
  std::vector<Asked> asked;                  ///< in the order of the texts
  std::map<std::string, std::string> texts;  ///< of each file
};

class ModuleFinder {
 public:
  /// `importing`: the file that a text was read from; any other name has no folder to import from.
  explicit ModuleFinder(const std::string& importing);
  /// Gives the answers that were given before, whatever has become of the files.
  ModuleFinder(const std::string& importing, Imports answers);

  /// `std/nn` (all ops of an area), `std/nn/softmax`, or a path from the folder of the file that `from` stands in.
  Result<std::shared_ptr<const frontend::Module>> find(const std::string& path, const Place& from);

  /// The files that a path names in the text `importing`.
  static Result<std::vector<std::string>> files_of(const std::string& path, const std::string& importing,
                                                   const Place& from = {});
  /// The text of a file, as long as a source may be.
  static Result<std::string> text_of(const std::string& file, const Place& from = {});
  /// Whether a file is being read: it cannot be imported.
  bool is_open(const std::string& file) const;
  const Imports& imports() const { return imports_; }

 private:
  Result<frontend::Module> read(const std::string& file, const frontend::Module* base, const Place& from);
  bool may_open(const std::string& file) const;
  Result<const std::string*> text_once(const std::string& file, const Place& from);

  Imports imports_;
  std::vector<std::string> open_;  // files that are being read, outermost first
  std::map<std::string, std::shared_ptr<const frontend::Module>> known_;
  std::set<std::string> failed_;  // their errors are told once
};

/// The folder of the standard library; empty when it is not found.
const std::string& library_folder();

}  // namespace heddle::api
