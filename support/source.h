// Source text and places in it. A place keeps its source alive, so a diagnostic is a value on its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace heddle {

/// One text with a name: a file, a string passed to `parse`, or a printed program.
class Source {
 public:
  /// `name` is what diagnostics show, for example a file name or `<text>`.
  static std::shared_ptr<const Source> make(std::string name, std::string text);

  const std::string& name() const { return name_; }
  std::string_view text() const { return text_; }

  struct LineColumn {
    int line = 1;    ///< from 1
    int column = 1;  ///< from 1, in Unicode code points
  };
  /// The line and column of a byte offset; an offset past the end counts as the end.
  LineColumn at(uint32_t offset) const;
  /// The text of a line (from 1) without its line end; empty when there is no such line.
  std::string_view line(int number) const;
  int line_count() const { return static_cast<int>(starts_.size()); }

 private:
  Source(std::string name, std::string text);
  std::string name_;
  std::string text_;
  std::vector<uint32_t> starts_;  // byte offset of each line
};

using SourceRef = std::shared_ptr<const Source>;

/// A half-open byte range of a source. A default place is "nowhere": diagnostics without a text to point at.
struct Place {
  SourceRef source;
  uint32_t begin = 0;
  uint32_t end = 0;

  bool known() const { return source != nullptr; }
  /// The smallest range that holds both (of the same source).
  Place to(const Place& other) const;
  /// The text of the range; empty when nowhere.
  std::string_view text() const;
};

}  // namespace heddle
