// Diagnostics as values: a code, a place, a label on each cause, and what to do.
//
// Wording: lower case, code in `backticks`, says what was seen, no full stop. Each floor lists its codes in its own
// codes.def, one row each; see docs/diagnostics.md for the number ranges.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/source.h"

namespace heddle {

/// One row of a codes.def: what `heddle explain` and `heddle list codes` show.
struct Code {
  std::string_view id;       ///< "HD0123"
  std::string_view title;    ///< a few words
  std::string_view explain;  ///< what it means and what to do, a sentence or two
};

enum class Severity { error, warning, note };

/// A second place that takes part in the cause.
struct Label {
  Place place;
  std::string message;
};

struct Diagnostic {
  std::string code;  ///< "HD0123"
  Severity severity = Severity::error;
  std::string message;
  Place place;
  std::vector<Label> labels;
  std::string help;  ///< what to do; may be empty

  Diagnostic() = default;
  Diagnostic(const Code& row, Place where, std::string text)
      : code(row.id), message(std::move(text)), place(std::move(where)) {}

  Diagnostic&& label(Place where, std::string text) && {
    labels.push_back({std::move(where), std::move(text)});
    return std::move(*this);
  }
  Diagnostic&& with_help(std::string text) && {
    help = std::move(text);
    return std::move(*this);
  }
};

using Diagnostics = std::vector<Diagnostic>;

/// The text a person reads: `file:line:column: error[HD0123]: message`, the line with a caret, labels, help.
std::string render(const Diagnostic& diagnostic);
std::string render(const Diagnostics& diagnostics);

/// The name among `known` nearest to `word` by edit distance, or empty when none is near (at most a third of its letters differ).
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace heddle
