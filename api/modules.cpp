#include "api/modules.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/session.h"
#include "frontend/codes.h"
#include "frontend/parse.h"
#include "support/limits.h"

namespace heddle::api {

namespace fs = std::filesystem;

namespace {

Diagnostic refused(const Place& from, std::string why, std::string help = "") {
  Diagnostic d(frontend::codes::bad_import, from, std::move(why));
  d.help = std::move(help);
  return d;
}

std::string absolute_name(const fs::path& path) {
  std::error_code none;
  fs::path found = fs::weakly_canonical(path, none);
  return (none ? path : found).string();
}

std::string short_name(const std::string& file) { return "`" + fs::path(file).filename().string() + "`"; }

}  // namespace

const std::string& library_folder() {
  static const std::string folder = [] {
    std::error_code none;
    std::vector<fs::path> places;
    if (const char* given = std::getenv("HEDDLE_STDLIB")) places.emplace_back(given);
    Dl_info self;
    if (dladdr(reinterpret_cast<const void*>(&absolute_name), &self) && self.dli_fname) {
      // The Python package, the build folder, an installed prefix.
      const fs::path here = fs::weakly_canonical(self.dli_fname, none).parent_path();
      for (const char* place : {"stdlib", "../python/heddle/stdlib", "../share/heddle/stdlib"})
        places.push_back(here / place);
    }
    const fs::path own = fs::read_symlink("/proc/self/exe", none).parent_path();
    for (const char* place : {"../python/heddle/stdlib", "../share/heddle/stdlib"}) places.push_back(own / place);
    for (const fs::path& place : places)
      if (fs::is_directory(place, none)) return absolute_name(place);
    return std::string();
  }();
  return folder;
}

ModuleFinder::ModuleFinder(const std::string& importing) {
  std::error_code none;
  if (fs::is_regular_file(importing, none)) open_.push_back(absolute_name(importing));
}

ModuleFinder::ModuleFinder(const std::string& importing, Imports answers) : ModuleFinder(importing) {
  imports_ = std::move(answers);
}

bool ModuleFinder::may_open(const std::string& file) const {
  return !is_open(file) && open_.size() <= static_cast<size_t>(limits::calls) && known_.size() < limits::imports;
}

bool ModuleFinder::is_open(const std::string& file) const {
  return std::find(open_.begin(), open_.end(), file) != open_.end();
}

Result<std::vector<std::string>> ModuleFinder::files_of(const std::string& path, const std::string& importing,
                                                        const Place& from) {
  std::error_code none;
  fs::path target;
  if (path.rfind("std/", 0) == 0) {
    if (library_folder().empty())
      return refused(from, "the standard library is not found", "set HEDDLE_STDLIB to its folder");
    target = fs::path(library_folder()) / path.substr(4);
    const std::string inside = absolute_name(target);
    if (inside.rfind(library_folder() + "/", 0) != 0)
      return refused(from, "`" + path + "` is not in the standard library");
    if (fs::is_directory(target, none)) {
      std::vector<std::string> files;
      for (const auto& entry : fs::directory_iterator(target, none))
        if (entry.path().extension() == ".hd") files.push_back(absolute_name(entry.path()));
      std::sort(files.begin(), files.end());
      if (!files.empty()) return files;
    }
    if (target.extension() != ".hd") target += ".hd";
  } else {
    target = path;
    if (target.extension() != ".hd")
      return refused(from, "`" + path + "` is no `.hd` file", "the standard library is `std/AREA` or `std/AREA/OP`");
    if (target.is_relative()) {
      if (!fs::is_regular_file(importing, none))
        return refused(from, "`" + path + "` has no folder to start from: the text that imports it is no file",
                       "load the text from a file, or import by an absolute path");
      target = fs::path(importing).parent_path() / target;
    }
  }
  if (!fs::is_regular_file(target, none))
    return refused(from, "there is no file `" + path + "`",
                   path.rfind("std/", 0) == 0 ? "`heddle list ops` lists the standard library"
                                              : "a path starts at the folder of the file that imports");
  return std::vector{absolute_name(target)};
}

Result<std::string> ModuleFinder::text_of(const std::string& file, const Place& from) {
  std::error_code none;
  if (fs::file_size(file, none) > limits::source_bytes && !none)
    return refused(from, short_name(file) + " is larger than " + std::to_string(limits::source_bytes) + " bytes");
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (!in && !in.eof()) return refused(from, short_name(file) + " cannot be read");
  return text.str();
}

Result<std::shared_ptr<const frontend::Module>> ModuleFinder::find(const std::string& path, const Place& from) {
  const std::string importing = from.source ? from.source->name() : "";
  auto before = std::find_if(imports_.asked.begin(), imports_.asked.end(),
                             [&](const Imports::Asked& a) { return a.from == importing && a.path == path; });
  Result<std::vector<std::string>> files =
      before != imports_.asked.end() ? before->files : files_of(path, importing, from);
  if (!files.ok()) return files.errors();
  if (before == imports_.asked.end()) imports_.asked.push_back({importing, path, *files});
  if (auto known = known_.find(path.rfind("std/", 0) == 0 ? path : files->front()); known != known_.end())
    return known->second;
  const std::string own_name = path.rfind("std/", 0) == 0 ? path : files->front(), file = files->front();
  if (failed_.count(own_name) && !is_open(file)) return refused(from, short_name(file) + " has errors");
  const bool alone = files->size() == 1 && may_open(file);
  if (alone)
    if (Result<const std::string*> text = text_once(file, from); text.ok())
      if (auto of_before = session().imported(file, **text)) return known_[own_name] = std::move(of_before);
  frontend::Module module;
  for (size_t i = 0; i < files->size(); ++i) {
    Result<frontend::Module> next = read((*files)[i], i ? &module : nullptr, from);
    if (!next.ok()) {
      failed_.insert(own_name);
      return next.errors();
    }
    module = *std::move(next);
  }
  auto shared = std::make_shared<const frontend::Module>(std::move(module));
  const bool imports_nothing = std::none_of(imports_.asked.begin(), imports_.asked.end(),
                                            [&](const Imports::Asked& a) { return a.from == file; });
  if (alone && imports_nothing) session().keep_imported(file, imports_.texts.at(file), shared);
  known_[own_name] = shared;
  return std::shared_ptr<const frontend::Module>(shared);
}

Result<const std::string*> ModuleFinder::text_once(const std::string& file, const Place& from) {
  auto text = imports_.texts.find(file);
  if (text == imports_.texts.end()) {
    Result<std::string> found = text_of(file, from);
    if (!found.ok()) return found.errors();
    text = imports_.texts.emplace(file, *std::move(found)).first;
  }
  return &text->second;
}

Result<frontend::Module> ModuleFinder::read(const std::string& file, const frontend::Module* base, const Place& from) {
  if (auto at = std::find(open_.begin(), open_.end(), file); at != open_.end()) {
    std::string way;
    for (; at != open_.end(); ++at) way += short_name(*at) + " imports ";
    return refused(from, way + short_name(file) + ": no file imports itself");
  }
  if (open_.size() > static_cast<size_t>(limits::calls))
    return refused(from, "imports are nested past " + std::to_string(limits::calls) + " levels");
  if (known_.size() >= limits::imports)
    return refused(from, "more than " + std::to_string(limits::imports) + " files are imported");
  Result<const std::string*> text = text_once(file, from);
  if (!text.ok()) return text.errors();
  Result<frontend::ast::Module> tree = frontend::parse(Source::make(file, **text));
  if (!tree.ok()) return tree.errors();
  open_.push_back(file);
  Result<frontend::Module> module = frontend::check_module(
      std::move(*tree), base, [&](const std::string& path, const Place& place) { return find(path, place); });
  open_.pop_back();
  return module;
}

}  // namespace heddle::api
