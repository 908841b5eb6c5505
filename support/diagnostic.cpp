#include "support/diagnostic.h"

#include <algorithm>
#include <numeric>

namespace heddle {
namespace {

const char* word(Severity severity) {
  switch (severity) {
    case Severity::error: return "error";
    case Severity::warning: return "warning";
    case Severity::note: return "note";
  }
  return "error";
}

// Bytes of the UTF-8 sequence that begins the text; 0 where it is none.
size_t sequence(std::string_view text) {
  unsigned char c = static_cast<unsigned char>(text[0]);
  size_t bytes = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
  if (bytes > text.size()) return 0;
  for (size_t i = 1; i < bytes; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  unsigned char second = bytes > 2 ? static_cast<unsigned char>(text[1]) : 0;
  bool out_of_range = (c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) || (c == 0xF0 && second < 0x90) ||
                      (c == 0xF4 && second > 0x8F);
  return out_of_range ? 0 : bytes;
}

// A terminal shows control bytes badly, and Python takes no broken UTF-8: both become `?`, tabs a blank, so that carets line up.
std::string printable(std::string_view line) {
  std::string out;
  while (!line.empty()) {
    size_t bytes = sequence(line);
    unsigned char c = static_cast<unsigned char>(line[0]);
    if (c == '\t') out += ' ';
    else if (bytes == 0 || c < 0x20 || c == 0x7F) out += '?';
    else out += line.substr(0, bytes);
    line.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return out;
}

constexpr int shown_columns = 140;

// The byte offset of a column (from 1) of a line of UTF-8.
size_t offset_of(std::string_view line, int column) {
  size_t at = 0;
  for (int c = 1; c < column && at < line.size(); ++c) do
      ++at;
    while (at < line.size() && (static_cast<unsigned char>(line[at]) & 0xC0) == 0x80);
  return at;
}

// Lines of text with marks below them. A line that has just been shown is not shown again.
class Excerpt {
 public:
  explicit Excerpt(const Diagnostic& d) {
    auto widen = [&](const Place& place) {
      if (place.known()) gutter_ = std::max(gutter_, std::to_string(place.source->at(place.begin).line).size());
    };
    widen(d.place);
    for (const Label& label : d.labels) widen(label.place);
  }

  void show(std::string& out, const Place& place, char mark, const std::string& message) {
    if (!place.known()) return;
    auto start = place.source->at(place.begin);
    auto end = place.source->at(std::max(place.begin, place.end));
    std::string_view line = place.source->line(start.line);
    // Of a long line, the part around the place.
    int first = start.column <= shown_columns - 20 ? 1 : start.column - shown_columns / 2;
    size_t from = offset_of(line, first), to = from + offset_of(line.substr(from), shown_columns + 1);
    std::string shown =
        (first > 1 ? ".." : "") + printable(line.substr(from, to - from)) + (to < line.size() ? ".." : "");
    int before = start.column - first + (first > 1 ? 2 : 0);
    if (place.source != source_ || start.line != line_ || first != first_) {
      std::string number = std::to_string(start.line);
      out += "  " + std::string(gutter_ - number.size(), ' ') + number + " | " + shown + "\n";
    }
    source_ = place.source, line_ = start.line, first_ = first;
    int room = std::max(1, shown_columns - (start.column - first));
    int width = end.line == start.line ? end.column - start.column : static_cast<int>(shown.size()) - before;
    out += std::string(2 + gutter_, ' ') + " | " + std::string(before, ' ') +
           std::string(std::clamp(width, 1, room), mark);
    if (!message.empty()) out += " " + message;
    out += "\n";
  }

 private:
  size_t gutter_ = 1;
  SourceRef source_;
  int line_ = 0, first_ = 0;
};

}  // namespace

std::string render(const Diagnostic& d) {
  std::string out;
  if (d.place.known()) {
    auto at = d.place.source->at(d.place.begin);
    out += d.place.source->name() + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
  }
  out += std::string(word(d.severity)) + "[" + d.code + "]: " + d.message + "\n";
  Excerpt excerpt(d);
  excerpt.show(out, d.place, '^', "");
  for (const Label& label : d.labels) {
    if (label.place.known()) {
      if (d.place.known() && label.place.source != d.place.source) out += "  in " + label.place.source->name() + "\n";
      excerpt.show(out, label.place, '-', label.message);
    } else {
      out += "  note: " + label.message + "\n";
    }
  }
  if (!d.help.empty()) out += "  help: " + d.help + "\n";
  return out;
}

std::string render(const Diagnostics& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) out += render(d);
  return out;
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  // Less than the whole word may differ: a letter is not near another letter.
  size_t best_distance = std::min(std::max<size_t>(1, word.size() / 3) + 1, word.size());
  std::vector<size_t> row;
  for (const std::string& name : known) {
    row.resize(name.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= name.size(); ++j) {
        size_t substitute = diagonal + (word[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) best_distance = row.back(), best = name;
  }
  return best;
}

}  // namespace heddle
