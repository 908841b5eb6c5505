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

// A terminal shows control bytes and broken UTF-8 badly: both become `?`, tabs a blank, so that carets line up.
std::string printable(std::string_view line) {
  std::string out;
  for (unsigned char c : line) out += c == '\t' ? ' ' : (c < 0x20 || c == 0x7F ? '?' : static_cast<char>(c));
  return out;
}

constexpr int shown_columns = 160;

void show(std::string& out, const Place& place, char mark, const std::string& message) {
  if (!place.known()) return;
  auto start = place.source->at(place.begin);
  auto end = place.source->at(std::max(place.begin, place.end));
  std::string line = printable(place.source->line(start.line));
  if (static_cast<int>(line.size()) > shown_columns * 4 || start.column > shown_columns) line = line.substr(0, shown_columns);
  std::string number = std::to_string(start.line);
  out += "  " + number + " | " + line + "\n";
  int last = end.line == start.line ? end.column : static_cast<int>(line.size()) + 1;
  int width = std::clamp(last - start.column, 1, shown_columns);
  out += std::string(2 + number.size(), ' ') + " | " + std::string(std::min(start.column - 1, shown_columns), ' ') +
         std::string(width, mark);
  if (!message.empty()) out += " " + message;
  out += "\n";
}

}  // namespace

std::string render(const Diagnostic& d) {
  std::string out;
  if (d.place.known()) {
    auto at = d.place.source->at(d.place.begin);
    out += d.place.source->name() + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
  }
  out += std::string(word(d.severity)) + "[" + d.code + "]: " + d.message + "\n";
  show(out, d.place, '^', "");
  for (const Label& label : d.labels) {
    if (label.place.known()) {
      if (d.place.known() && label.place.source != d.place.source) out += "  in " + label.place.source->name() + "\n";
      show(out, label.place, '-', label.message);
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
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
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
