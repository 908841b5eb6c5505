// heddle fmt: texts in the one layout.
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tools/command.h"

namespace heddle::tools {
namespace {

std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

int rewrite(const std::string& path, bool only_check) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse({wrong("`" + path + "` cannot be read")});
  std::string text = read_all(file);
  Result<std::string> done = format(text, path);
  if (!done) return refuse(done.errors());
  if (*done == text) return exit_done;
  if (only_check) {
    std::cout << path << "\n";
    return exit_refused;
  }
  std::ofstream out(path, std::ios::binary);
  if (out << *done && out.flush()) return exit_done;
  return refuse({wrong("`" + path + "` cannot be written")});
}

}  // namespace

int fmt(const Options& o) {
  int code = exit_done;
  for (const std::string& path : o.files) {
    if (path != "-") {
      code = std::max(code, rewrite(path, o.only_check));
      continue;
    }
    std::string text = read_all(std::cin);
    Result<std::string> done = format(text, "<stdin>");
    if (!done) code = std::max(code, refuse(done.errors()));
    else if (o.only_check) code = std::max<int>(code, *done == text ? exit_done : exit_refused);
    else std::cout << *done;
  }
  return code;
}

}  // namespace heddle::tools
