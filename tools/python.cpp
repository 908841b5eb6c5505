// What the command does in Python (tune, doctor), and where it finds the package and the standard library.
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "tools/command.h"

namespace heddle::tools {
namespace {

namespace fs = std::filesystem;

fs::path own_folder() {
  std::error_code none;
  return fs::read_symlink("/proc/self/exe", none).parent_path();
}

}  // namespace

std::string library_folder() {
  std::error_code none;
  const fs::path here = own_folder();
  // The build folder, an installed prefix.
  for (const char* place : {"../python/heddle/stdlib", "../share/heddle/stdlib"})
    if (fs::path found = here / place; fs::is_directory(found, none)) return found.lexically_normal();
  // A virtual environment.
  for (const auto& python : fs::directory_iterator(here / "../lib", none))
    if (fs::path found = python.path() / "site-packages/heddle/stdlib"; fs::is_directory(found, none))
      return found.lexically_normal();
  return "";
}

int python_command(int argc, char** argv) {
  // The interpreter of the same environment where there is one.
  std::error_code none;
  const fs::path beside = own_folder() / "python3";
  std::string python = fs::exists(beside, none) ? beside.string() : "python3";
  // The package of the build folder, when this is the build's own command.
  const fs::path package = own_folder() / "../python";
  std::string where = fs::exists(package / "heddle/__init__.py", none) ? package.lexically_normal().string() : "";
  std::vector<std::string> words = {python, "-c",
                                    "import sys; where = sys.argv.pop(1); where and sys.path.insert(0, where); "
                                    "from heddle.command import main; sys.exit(main())",
                                    where};
  for (int i = 1; i < argc; ++i) words.push_back(argv[i]);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(python.c_str(), pointers.data());
  std::cerr << "heddle " << (argc > 1 ? argv[1] : "")
            << ": `python3` is not found; this command needs Heddle's Python package\n";
  return exit_refused;
}

}  // namespace heddle::tools
